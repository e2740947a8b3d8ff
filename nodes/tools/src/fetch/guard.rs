//! Which URLs and addresses may be fetched, so that a model cannot reach into the network that it runs in.
//!
//! A host is resolved once, the addresses are judged, and the connection is made to those very addresses: a name that
//! means another address a moment later gains nothing. Addresses that stand in a URL are judged the same way.
//!
//! Sources: the special-purpose address registries of IANA (RFC 6890 and its successors); RFC 6052 for IPv4 within IPv6.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use statewright_nodes_ports::{BoxFuture, ToolError};

/// The longest URL, in bytes.
const URL_BYTES_MAX: usize = 4_096;

/// Looks up the addresses of a host.
pub trait Lookup: Send + Sync {
    /// Its addresses, at least one.
    ///
    /// # Errors
    /// When it has none, or nobody could say.
    fn lookup<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The operating system's way to look up hosts.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Judges URLs, hosts and addresses.
#[derive(Clone)]
pub(super) struct Guard {
    lookup: Arc<dyn Lookup>,
    /// Hosts that may have any address, in lower case.
    private_hosts: Arc<[String]>,
    /// The only hosts, in lower case; any if empty.
    only_hosts: Arc<[String]>,
}

impl Guard {
    pub(super) fn new(lookup: Arc<dyn Lookup>, private_hosts: &[String], only_hosts: &[String]) -> Self {
        let lower = |hosts: &[String]| hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Self { lookup, private_hosts: lower(private_hosts), only_hosts: lower(only_hosts) }
    }

    /// A URL that may be fetched, as far as it tells by itself. The addresses of a name are judged when it is resolved.
    pub(super) fn url(&self, given: &str) -> Result<Url, ToolError> {
        let refused = |problem: &str| ToolError {
            code: "SW-N380",
            message: format!(
                "the URL `{}` cannot be fetched: {problem}; give an address such as https://example.org/page",
                shown(given)
            ),
        };
        if given.len() > URL_BYTES_MAX {
            return Err(refused(&format!("it is longer than {URL_BYTES_MAX} bytes")));
        }
        let url = Url::parse(given.trim()).map_err(|error| refused(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused("only http and https are spoken"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("it has a user name or a password in it"));
        }
        let host = url.host_str().ok_or_else(|| refused("it names no host"))?;
        let name = host_name(host);
        if name.is_empty() {
            return Err(refused("it names no host"));
        }
        if !self.only_hosts.is_empty() && !self.only_hosts.contains(&name) {
            let message = format!(
                "`{name}` may not be fetched; the only hosts that may are: {}",
                self.only_hosts.join(", ")
            );
            return Err(ToolError { code: "SW-N381", message });
        }
        if let Ok(address) = name.parse::<IpAddr>() {
            self.judge(&name, address).map_err(|refused| refused.told())?;
        }
        Ok(url)
    }

    fn judge(&self, host: &str, address: IpAddr) -> Result<(), RefusedAddress> {
        if is_public(address) || self.private_hosts.iter().any(|private| private == host) {
            return Ok(());
        }
        Err(RefusedAddress { host: host.to_owned(), address })
    }

    /// The addresses of a host, if all of them may be fetched from: one that may not makes the others suspect.
    async fn resolve(&self, host: &str) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let host = host_name(host);
        let found = self.lookup.lookup(&host).await?;
        for address in &found {
            self.judge(&host, *address)?;
        }
        if found.is_empty() {
            return Err(Box::new(io::Error::new(io::ErrorKind::NotFound, "the host has no address")));
        }
        Ok(found.into_iter().map(|address| SocketAddr::new(address, 0)).collect())
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let addresses = guard.resolve(name.as_str()).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// An address that a host has and that may not be fetched from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{host}` is at {address}, which is no address of the public internet, and may not be fetched; use a public page"
)]
pub(super) struct RefusedAddress {
    host: String,
    address: IpAddr,
}

impl RefusedAddress {
    pub(super) fn told(&self) -> ToolError {
        ToolError { code: "SW-N381", message: self.to_string() }
    }

    /// It, if it is what an error comes from.
    pub(super) fn cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }
}

/// Whether an address belongs to the public internet: not to this machine, a private network, a cloud's metadata
/// service, a test or a group of receivers.
///
/// ```
/// use statewright_nodes_tools::fetch::is_public;
/// assert!(is_public("93.184.215.14".parse()?));
/// assert!(!is_public("169.254.169.254".parse()?));
/// assert!(!is_public("::ffff:127.0.0.1".parse()?));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Networks of IPv4 that are no part of the public internet: address and length of the prefix.
const SPECIAL_V4: &[([u8; 4], u32)] = &[
    ([0, 0, 0, 0], 8),        // this network
    ([10, 0, 0, 0], 8),       // private
    ([100, 64, 0, 0], 10),    // carrier-grade NAT; also a metadata service
    ([127, 0, 0, 0], 8),      // loopback
    ([168, 63, 129, 16], 32), // a cloud's service for its machines, on a public address
    ([169, 254, 0, 0], 16),   // link-local; most metadata services
    ([172, 16, 0, 0], 12),    // private
    ([192, 0, 0, 0], 24),     // protocol assignments; also a metadata service
    ([192, 0, 2, 0], 24),     // documentation
    ([192, 88, 99, 0], 24),   // relays of 6to4
    ([192, 168, 0, 0], 16),   // private
    ([198, 18, 0, 0], 15),    // benchmarks
    ([198, 51, 100, 0], 24),  // documentation
    ([203, 0, 113, 0], 24),   // documentation
    ([224, 0, 0, 0], 4),      // multicast
    ([240, 0, 0, 0], 4),      // reserved, and broadcast
];

/// Networks within the global unicast range of IPv6 that are no part of the public internet.
const SPECIAL_V6: &[([u16; 2], u32)] = &[
    ([0x2001, 0x0000], 23), // protocol assignments, Teredo among them
    ([0x2001, 0x0db8], 32), // documentation
    ([0x2002, 0x0000], 16), // 6to4
    ([0x3fff, 0x0000], 20), // documentation
];

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    let within = |(network, length): &([u8; 4], u32)| {
        let network = Ipv4Addr::from(*network).to_bits();
        (bits ^ network) >> (32 - length) == 0
    };
    !SPECIAL_V4.iter().any(within)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(within) = address.to_ipv4_mapped() {
        return is_public_v4(within);
    }
    let segments = address.segments();
    // A network without IPv4 reaches it by this prefix.
    if segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        let [.., a, b, c, d] = address.octets();
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    let is_global_unicast = segments[0] & 0xe000 == 0x2000;
    let start = u32::from(segments[0]) << 16 | u32::from(segments[1]);
    let within = |([first, second], length): &([u16; 2], u32)| {
        let network = u32::from(*first) << 16 | u32::from(*second);
        (start ^ network) >> (32 - length) == 0
    };
    is_global_unicast && !SPECIAL_V6.iter().any(within)
}

/// A host in one spelling: lower case, without the brackets of IPv6 and without the dot at its end.
fn host_name(host: &str) -> String {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// A URL for a message: one line, shortened, without what looks like a password.
fn shown(given: &str) -> String {
    const SHOWN: usize = 200;
    let mut shown: String =
        given.chars().take(SHOWN).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if given.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    if let Some((scheme, rest)) = shown.split_once("://") {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if let Some((_, after)) = host.rsplit_once('@') {
            return format!("{scheme}://…@{after}{}", &rest[host.len()..]);
        }
    }
    shown
}
