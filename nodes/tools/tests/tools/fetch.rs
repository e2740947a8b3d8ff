//! Pages from a local server, and every way that we know to reach what must not be reached.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use statewright_nodes_ports::{BoxFuture, SideEffect, Tool, ToolError};
use statewright_nodes_tools::fetch::{self, FetchOptions, Lookup, is_public};

use crate::common::call_async;
use crate::server::{Reply, Server};

/// A fetcher that may go to this machine, as tests have to.
fn local() -> FetchOptions {
    FetchOptions { private_hosts: vec!["127.0.0.1".to_owned()], ..FetchOptions::default() }
}

async fn fetch(options: FetchOptions, url: &str) -> Result<String, ToolError> {
    call_async(&fetch::tool(options), &json!({ "url": url })).await.map(|output| output.content)
}

#[tokio::test]
async fn a_page_comes_back_as_title_and_readable_text() {
    let page = "<!DOCTYPE html><html><head><title>The  Tower &amp; I</title><style>p { color: red }</style>\
        <script>alert('no')</script></head><body><h1>Tower</h1><p>It was finished in <b>1889</b>.</p>\
        <ul><li>iron</li><li>rivets</li></ul><p>See <a href=\"/more\">more</a>.</p></body></html>";
    let server = Server::start([("/page", Reply::html(page))]).await;
    let tool = fetch::tool(local());
    assert_eq!((tool.side_effect(), tool.is_idempotent()), (SideEffect::External, true));
    let text = call_async(&tool, &json!({"url": server.url("/page")})).await.unwrap().content;
    assert!(text.starts_with(&format!("URL: {}\nTitle: The Tower & I\n", server.url("/page"))), "{text}");
    for words in ["# Tower", "1889", "* iron", "* rivets", "/more"] {
        assert!(text.contains(words), "{words} in {text}");
    }
    for words in ["alert", "color: red", "<p>"] {
        assert!(!text.contains(words), "{words} in {text}");
    }
    let request = &server.requests()[0];
    assert!(request.head.contains("user-agent: statewright/"), "{}", request.head);
    assert!(!request.head.contains("cookie"), "{}", request.head);
}

#[tokio::test]
async fn charsets_are_told_by_the_server_the_page_or_the_bytes() {
    let latin = |text: &str| text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect::<Vec<u8>>();
    let meta = latin(
        "<html><head><meta http-equiv=\"x\" content=\"text/html; charset=iso-8859-1\"></head><body>Grüße</body></html>",
    );
    let wide: Vec<u8> = "\u{feff}Grüße".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let server = Server::start([
        (
            "/header",
            Reply::new("200 OK", "content-type: text/plain; charset=\"ISO-8859-1\"\r\n", latin("Grüße")),
        ),
        ("/meta", Reply::new("200 OK", "content-type: text/html\r\n", meta)),
        ("/utf8", Reply::new("200 OK", "content-type: text/plain\r\n", "Grüße")),
        ("/guess", Reply::new("200 OK", "content-type: text/plain\r\n", latin("Grüße"))),
        ("/mark", Reply::new("200 OK", "content-type: text/plain\r\n", wide)),
        ("/none", Reply::new("200 OK", "", "<!doctype html><p>Grüße</p>")),
        ("/unknown", Reply::new("200 OK", "content-type: text/plain; charset=x-martian\r\n", "Grüße")),
    ])
    .await;
    for path in ["/header", "/meta", "/utf8", "/guess", "/mark", "/none", "/unknown"] {
        let text = fetch(local(), &server.url(path)).await.unwrap();
        assert!(text.ends_with("\nGrüße"), "{path}: {text:?}");
    }
}

#[tokio::test]
async fn json_is_given_back_as_it_is_and_pictures_are_not() {
    let server = Server::start([
        ("/json", Reply::json("200 OK", "{\"a\": \"<b>\"}")),
        ("/png", Reply::new("200 OK", "content-type: image/png\r\n", [0x89, b'P'])),
        ("/zip", Reply::new("200 OK", "content-type: text/html\r\ncontent-encoding: gzip\r\n", [0x1f, 0x8b])),
    ])
    .await;
    assert!(fetch(local(), &server.url("/json")).await.unwrap().ends_with("\n{\"a\": \"<b>\"}"));
    for (path, words) in [("/png", "it is `image/png`, not text"), ("/zip", "it is compressed (gzip)")] {
        let error = fetch(local(), &server.url(path)).await.unwrap_err();
        assert_eq!(error.code, "SW-N385");
        assert!(error.message.contains(words), "{error}");
    }
}

#[tokio::test]
async fn an_error_status_and_a_lost_connection_are_told() {
    let broken = Reply::Bytes(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 99\r\n\r\nhalf".to_vec(),
    );
    let server = Server::start([("/500", Reply::new("500 Oops", "", "")), ("/broken", broken)]).await;
    for (path, code) in [("/gone", "SW-N383"), ("/500", "SW-N383"), ("/broken", "SW-N382")] {
        assert_eq!(fetch(local(), &server.url(path)).await.unwrap_err().code, code, "{path}");
    }
    let error = fetch(FetchOptions::default(), "http://no-such-host.invalid/").await.unwrap_err();
    assert_eq!(error.code, "SW-N382", "{error}");
}

#[tokio::test]
async fn a_page_without_end_is_cut_and_a_silent_one_is_given_up() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n".to_vec();
    let server =
        Server::start([("/endless", Reply::Endless(head.clone())), ("/silent", Reply::Hang(head))]).await;
    let options = FetchOptions { bytes_max: 100_000, text_bytes_max: 10_000, ..local() };
    let text = fetch(options, &server.url("/endless")).await.unwrap();
    assert!(text.len() <= 10_000, "{}", text.len());
    assert!(text.contains("[cut: "), "{}", &text[text.len() - 200..]);
    let options = FetchOptions { bytes_max: 5_000, ..local() };
    let text = fetch(options, &server.url("/endless")).await.unwrap();
    assert!(text.ends_with("[the page is longer: its first 5000 bytes were read]"), "{text}");

    let options = FetchOptions { time_max: Duration::from_millis(50), ..local() };
    let error = fetch(options, &server.url("/silent")).await.unwrap_err();
    assert_eq!(error.code, "SW-N382");
    assert!(error.message.contains("longer than 0.05 s"), "{error}");
}

#[tokio::test]
async fn absurd_html_is_read_in_good_time() {
    let deep = format!("{}core{}", "<div>".repeat(100_000), "</div>".repeat(100_000));
    let tables = format!("{}core", "<table><tr><td>".repeat(5_000));
    let wide = format!("<table><tr>{}</tr></table>", "<td>core</td>".repeat(10_000));
    let open = format!("{}core", "<b><i>".repeat(20_000));
    let cut = "<p>core <a href=\"http://".to_owned();
    for (at, page) in [deep, tables, wide, open, cut].iter().enumerate() {
        let server = Server::start([("/", Reply::html(page))]).await;
        let text = fetch(local(), &server.url("/")).await.unwrap();
        assert!(text.contains("core"), "{at}: {}", &text[..text.len().min(300)]);
    }
}

#[tokio::test]
async fn redirects_are_followed_five_times() {
    let server = Server::start([
        ("/1", Reply::redirect("/2")),
        ("/2", Reply::redirect("3")),
        ("/3", Reply::redirect("/4")),
        ("/4", Reply::redirect("/5")),
        ("/5", Reply::redirect("/6?at=last")),
        ("/6", Reply::html("<p>there</p>")),
        ("/0", Reply::redirect("/1")),
        ("/nowhere", Reply::new("302 Found", "", "")),
    ])
    .await;
    let text = fetch(local(), &server.url("/1")).await.unwrap();
    assert!(text.starts_with(&format!("URL: {}\n", server.url("/6?at=last"))), "{text}");
    let error = fetch(local(), &server.url("/0")).await.unwrap_err();
    assert_eq!(error.code, "SW-N384", "{error}");
    assert_eq!(fetch(local(), &server.url("/nowhere")).await.unwrap_err().code, "SW-N385");
}

#[tokio::test]
async fn a_redirect_is_judged_like_the_first_url() {
    let inner = Server::start([("/", Reply::html("secret"))]).await;
    let port = inner.address.port();
    for target in [
        format!("http://127.0.0.2:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("//2130706434:{port}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
    ] {
        let outer = Server::start([("/", Reply::redirect(&target))]).await;
        let error = fetch(local(), &outer.url("/")).await.unwrap_err();
        assert_eq!(error.code, "SW-N381", "{target}: {error}");
    }
    for target in ["file:///etc/passwd", "ftp://example.org/", "http://user:pass@example.org/", "gopher://x/"]
    {
        let outer = Server::start([("/", Reply::redirect(target))]).await;
        let error = fetch(local(), &outer.url("/")).await.unwrap_err();
        assert_eq!(error.code, "SW-N380", "{target}: {error}");
        assert!(!error.message.contains("pass@"), "{error}");
    }
    assert!(inner.requests().is_empty());
}

#[tokio::test]
async fn addresses_of_this_machine_and_its_networks_are_refused_in_any_spelling() {
    let server = Server::start([("/", Reply::html("secret"))]).await;
    let port = server.address.port();
    for host in [
        "127.0.0.1",
        "127.1",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "2130706433",
        "0x7f000001",
        "127.0.0.1.",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[::127.0.0.1]",
        "[2002:7f00:1::]",
        "１２７.０.０.１",
        "127。0。0。1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "255.255.255.255",
        "224.0.0.1",
    ] {
        let error = fetch(FetchOptions::default(), &format!("http://{host}:{port}/")).await.unwrap_err();
        assert_eq!(error.code, "SW-N381", "{host}: {error}");
        assert!(error.message.contains("may not be fetched"), "{host}: {error}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn what_is_no_web_address_is_refused() {
    for url in [
        "",
        "example.org",
        "/etc/passwd",
        "file:///etc/passwd",
        "ftp://example.org",
        "javascript:alert(1)",
        "data:text/html,x",
        "http://",
        "http://./",
        "https://user:pass@example.org/",
        "http://user@example.org",
        "http://exa mple.org",
        "http://[::1",
        "http://host:99999/",
        "unix:/var/run/docker.sock",
    ] {
        let error = fetch(FetchOptions::default(), url).await.unwrap_err();
        assert_eq!(error.code, "SW-N380", "{url}: {error}");
        assert!(!error.message.contains("pass@"), "{error}");
    }
    let long = format!("http://example.org/{}", "x".repeat(10_000));
    let error = fetch(FetchOptions::default(), &long).await.unwrap_err();
    assert_eq!(error.code, "SW-N380");
    assert!(error.message.len() < 600, "{}", error.message.len());
}

/// Says at each question the next of its answers.
struct Changing {
    answers: Vec<Vec<&'static str>>,
    asked: AtomicUsize,
}

impl Changing {
    fn new(answers: Vec<Vec<&'static str>>) -> Arc<Self> {
        Arc::new(Self { answers, asked: AtomicUsize::new(0) })
    }
}

impl Lookup for Changing {
    fn lookup<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let at = self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = &self.answers[at.min(self.answers.len() - 1)];
        let answer = answer.iter().map(|address| address.parse().unwrap()).collect();
        Box::pin(std::future::ready(Ok(answer)))
    }
}

#[tokio::test]
async fn a_name_that_changes_its_address_reaches_nothing_inside() {
    let server = Server::start([("/", Reply::html("secret"))]).await;
    let url = format!("http://rebind.example:{}/", server.address.port());
    for (answers, code) in [
        (vec![vec!["127.0.0.1"]], "SW-N381"),
        // One address that is not public makes the others suspect.
        (vec![vec!["8.8.8.8", "127.0.0.1"]], "SW-N381"),
        (vec![vec!["::1"]], "SW-N381"),
        (vec![vec![]], "SW-N382"),
    ] {
        let lookup = Changing::new(answers);
        let options = FetchOptions { lookup: lookup.clone(), ..FetchOptions::default() };
        let error = fetch(options, &url).await.unwrap_err();
        assert_eq!(error.code, code, "{error}");
        assert_eq!(lookup.asked.load(Ordering::SeqCst), 1);
    }
    assert!(server.requests().is_empty());
    // The address that was judged is the one that is connected to: nobody asks again what the name means.
    let lookup = Changing::new(vec![vec!["127.0.0.1"], vec!["8.8.8.8"]]);
    let private_hosts = vec!["rebind.example".to_owned()];
    let options = FetchOptions { lookup: lookup.clone(), private_hosts, ..FetchOptions::default() };
    assert!(fetch(options, &url).await.unwrap().ends_with("secret"));
    assert_eq!(lookup.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn hosts_can_be_trusted_or_made_the_only_ones() {
    let server = Server::start([("/", Reply::html("wiki"))]).await;
    let url = format!("http://WIKI.example:{}/", server.address.port());
    let lookup = Changing::new(vec![vec!["127.0.0.1"]]);
    let trusted = FetchOptions {
        private_hosts: vec!["Wiki.Example".to_owned()],
        lookup: lookup.clone(),
        ..FetchOptions::default()
    };
    assert!(fetch(trusted.clone(), &url).await.unwrap().ends_with("wiki"));
    let only = FetchOptions { only_hosts: vec!["other.example".to_owned()], ..trusted };
    let error = fetch(only.clone(), &url).await.unwrap_err();
    assert_eq!(error.code, "SW-N381");
    assert!(error.message.ends_with("the only hosts that may are: other.example"), "{error}");
    let both = FetchOptions { only_hosts: vec!["wiki.example".to_owned()], ..only };
    assert!(fetch(both, &url).await.is_ok());
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn addresses_of_the_public_internet_are_told_from_all_others() {
    let judged = |address: &str| is_public(address.parse().unwrap());
    for address in [
        "1.1.1.1",
        "8.8.8.8",
        "93.184.215.14",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2606:4700::1111",
        "2001:200::",
        "2a00::1",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
    ] {
        assert!(judged(address), "{address}");
    }
    for address in [
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.0",
        "127.255.255.255",
        "169.254.0.0",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.168.0.0",
        "198.18.0.0",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.7",
        "224.0.0.0",
        "239.255.255.255",
        "240.0.0.0",
        "255.255.255.255",
        "::",
        "::1",
        "::8.8.8.8",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b:1::808:808",
        "100::1",
        "2001::1",
        "2001:10::1",
        "2001:db8::1",
        "2002:808:808::",
        "3fff::1",
        "fc00::1",
        "fd00::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "5f00::1",
    ] {
        assert!(!judged(address), "{address}");
    }
}

/// Never finds anything: what would be resolved is not what these tests are about.
struct Nowhere;

impl Lookup for Nowhere {
    fn lookup<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(std::future::ready(Err(io::ErrorKind::NotFound.into())))
    }
}

/// Pieces of which dangerous URLs are made.
fn urls() -> impl Strategy<Value = String> {
    let scheme = prop::sample::select(vec![
        "http",
        "https",
        "HTTP",
        "file",
        "ftp",
        "",
        "javascript",
        "ht\ntp",
        " http",
    ]);
    let slashes = prop::sample::select(vec!["://", ":/", ":", ":\\\\", "//", ":////"]);
    let user = prop::sample::select(vec!["", "", "", "a@", "a:b@", "%40@", "127.0.0.1@", "8.8.8.8#@"]);
    let host = prop_oneof![
        any::<u32>().prop_map(|bits| bits.to_string()),
        any::<u32>().prop_map(|bits| format!("0x{bits:x}")),
        any::<[u8; 4]>().prop_map(|b| format!("0{:o}.{}.0x{:x}.{}", b[0], b[1], b[2], b[3])),
        any::<u128>().prop_map(|bits| format!("[{}]", std::net::Ipv6Addr::from(bits))),
        any::<u32>().prop_map(|bits| format!("[::ffff:{}]", std::net::Ipv4Addr::from(bits))),
        prop::sample::select(vec![
            "localhost",
            "127.0.0.1",
            "127.1",
            "[::1]",
            "0",
            "①②⑦.⓪.⓪.①",
            "127%2e0%2e0%2e1",
            "a.b"
        ])
        .prop_map(str::to_owned),
        ".{0,12}",
    ];
    let port = prop::sample::select(vec!["", ":80", ":0", ":99999", ":"]);
    let path = prop::sample::select(vec!["", "/", "/x?y#z", "\\@evil", "?", "#"]);
    (scheme, slashes, user, host, port, path).prop_map(|(scheme, slashes, user, host, port, path)| {
        format!("{scheme}{slashes}{user}{host}{port}{path}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever the URL, either it is refused, or it is plain http with a host that is a name or a public address: the
    /// same that an independent parser sees.
    #[test]
    fn no_url_gets_past_the_guard_to_an_inner_address(url in urls()) {
        let refused = fetch::check_url(&url);
        if let Ok(judged) = refused {
            prop_assert!(judged.starts_with("http://") || judged.starts_with("https://"), "{url} -> {judged}");
            let rest = judged.split_once("://").map(|(_, rest)| rest).unwrap();
            let authority = rest.split(['/', '?', '#']).next().unwrap();
            prop_assert!(!authority.contains('@'), "{url} -> {judged}");
            let host = match authority.strip_prefix('[') {
                Some(inner) => inner.split(']').next().unwrap(),
                None => authority.split(':').next().unwrap(),
            };
            match host.parse::<IpAddr>() {
                Ok(address) => prop_assert!(is_public(address), "{url} -> {judged}"),
                // A name: no parser takes it for an address of digits.
                Err(_) => prop_assert!(
                    !host.trim_end_matches('.').rsplit('.').next().unwrap().chars().all(|c| c.is_ascii_digit()),
                    "{url} -> {judged}"
                ),
            }
        }
    }
}

#[tokio::test]
async fn a_name_without_an_address_is_told() {
    let options = FetchOptions { lookup: Arc::new(Nowhere), ..FetchOptions::default() };
    let error = fetch(options, "http://example.org/").await.unwrap_err();
    assert_eq!(error.code, "SW-N382", "{error}");
}
