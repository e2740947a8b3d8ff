//! Results of nodes that are kept by a key, so that the same work is not done again. Not a memory across threads: what is
//! in it may be forgotten at any time, and a run that finds nothing does the work.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use statewright_engine_core::journal;
use statewright_engine_core::{Data, Decision, Payload, Payloads, State, UpdateValue};

use crate::builder::{NodeHandle, StateGraph};
use crate::checkpointer::StoreError;
use crate::context::Activation;
use crate::lock::lock;
use crate::node::{ErasedNode, NodeOutput};
use crate::runner::{Clock, Runner};
use crate::step::hash_of;

/// How much a cache keeps. When it has more, those results go first whose time is over first, and so those before all others
/// whose time is over already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Results; 10,000 by default.
    pub results_max: u32,
    /// The bytes of all of them together; 64 MiB by default. A larger result is not kept at all.
    pub bytes_max: u64,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self { results_max: 10_000, bytes_max: 64 << 20 }
    }
}

/// Where results of nodes are kept. `engine/testkit` has a suite for it.
pub trait ResultCache: Send + Sync + 'static {
    /// The result that was put under this key last, unless its time was over by `now_ms`.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read; the node then runs.
    fn get<'a>(
        &'a self,
        key: &'a [u8; 16],
        now_ms: u64,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>>;

    /// Keeps a result until `expires_ms`, in milliseconds since 1970, in place of an earlier one.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be written; the node has run anyway.
    fn put<'a>(
        &'a self,
        key: &'a [u8; 16],
        result: Vec<u8>,
        expires_ms: u64,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Forgets the results whose time is over by `now_ms`, and says how many they were.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be written.
    fn expire(&self, now_ms: u64) -> BoxFuture<'_, Result<u64, StoreError>>;
}

/// A [`ResultCache`] in memory. Clones share what they keep.
#[derive(Clone, Debug, Default)]
pub struct MemoryCache(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    limits: CacheLimits,
    bytes: u64,
    results: HashMap<[u8; 16], (u64, Vec<u8>)>,
    by_time: BTreeSet<(u64, [u8; 16])>,
}

impl MemoryCache {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one that keeps so much.
    pub fn with_limits(limits: CacheLimits) -> Self {
        Self(Arc::new(Mutex::new(Kept { limits, ..Kept::default() })))
    }
}

impl Kept {
    fn put(&mut self, key: [u8; 16], result: Vec<u8>, expires_ms: u64) {
        self.forget(&key);
        if result.len() as u64 > self.limits.bytes_max {
            return;
        }
        self.bytes += result.len() as u64;
        self.by_time.insert((expires_ms, key));
        self.results.insert(key, (expires_ms, result));
        while self.results.len() > self.limits.results_max as usize || self.bytes > self.limits.bytes_max {
            let Some((_, first)) = self.by_time.first().copied() else { break };
            self.forget(&first);
        }
    }

    fn forget(&mut self, key: &[u8; 16]) {
        if let Some((expires_ms, result)) = self.results.remove(key) {
            self.bytes -= result.len() as u64;
            self.by_time.remove(&(expires_ms, *key));
        }
    }

    fn expire(&mut self, now_ms: u64) -> u64 {
        let mut gone = 0;
        while let Some((expires_ms, key)) = self.by_time.first().copied()
            && expires_ms <= now_ms
        {
            self.forget(&key);
            gone += 1;
        }
        gone
    }
}

impl ResultCache for MemoryCache {
    fn get<'a>(
        &'a self,
        key: &'a [u8; 16],
        now_ms: u64,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        let kept = lock(&self.0);
        let found = kept.results.get(key).filter(|(expires_ms, _)| *expires_ms > now_ms);
        let found = found.map(|(_, result)| result.clone());
        std::future::ready(Ok(found)).boxed()
    }

    fn put<'a>(
        &'a self,
        key: &'a [u8; 16],
        result: Vec<u8>,
        expires_ms: u64,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        lock(&self.0).put(*key, result, expires_ms);
        std::future::ready(Ok(())).boxed()
    }

    fn expire(&self, now_ms: u64) -> BoxFuture<'_, Result<u64, StoreError>> {
        std::future::ready(Ok(lock(&self.0).expire(now_ms))).boxed()
    }
}

/// A cache with the clock that says what is over.
#[derive(Clone)]
pub(crate) struct Cached {
    pub(crate) cache: Arc<dyn ResultCache>,
    pub(crate) clock: Clock,
}

/// How results of a node are kept; see [`StateGraph::cache`].
type KeyOf<S> = Arc<dyn Fn(&S, &Payload) -> Result<serde_json::Value, String> + Send + Sync>;

/// A node whose results are kept.
struct CachedNode<S> {
    inner: Arc<dyn ErasedNode<S>>,
    key: KeyOf<S>,
    version: u32,
    ttl_ms: u64,
}

/// A result as it is kept.
#[derive(Serialize, Deserialize)]
struct StoredResult {
    #[serde(rename = "u")]
    update: ByteBuf,
    /// The variant's name and its payloads, if it returned a route.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    route: Option<(String, StoredPayloads)>,
}

#[derive(Serialize, Deserialize)]
enum StoredPayloads {
    None,
    One(ByteBuf),
    Each(Vec<ByteBuf>),
}

impl<S: State> StateGraph<S> {
    /// Keeps the results of `node` for `ttl`, by a key of what they depend on: an activation with the key of a kept result
    /// finishes with that, without running. Its record says so, so a recovered run never decides it anew.
    ///
    /// The key is hashed with the names of the graph, the node and the state, with the state's version, and with `version`:
    /// raise that when the node's code changes. A result is kept only of an activation that posted nothing and asked
    /// nothing. Where runs find results is said by [`Runner::cache`]; without it every activation runs. Not part of the
    /// graph's fingerprint.
    pub fn cache<I: Data, R, K: Serialize>(
        &mut self,
        node: NodeHandle<S, I, R>,
        version: u32,
        ttl: Duration,
        key: impl Fn(&S, &I) -> K + Send + Sync + 'static,
    ) {
        let key: KeyOf<S> = Arc::new(move |state, input| {
            let input = input.read::<I>()?;
            serde_json::to_value(key(state, &input)).map_err(|error| error.to_string())
        });
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        self.wrap(node.wire(), |inner| Arc::new(CachedNode { inner, key, version, ttl_ms }));
    }
}

impl<S: State> Runner<S> {
    /// Finds and keeps results here, of nodes whose graph says so by [`StateGraph::cache`].
    #[must_use]
    pub fn cache(self, cache: impl ResultCache) -> Self {
        self.shared_cache(Arc::new(cache))
    }

    /// Finds and keeps results here, shared with other runners.
    #[must_use]
    pub fn shared_cache(mut self, cache: Arc<dyn ResultCache>) -> Self {
        self.results = Some(cache);
        self
    }
}

impl<S: State> CachedNode<S> {
    fn hash(&self, state: &S, input: &Payload, activation: &Activation) -> Result<[u8; 16], String> {
        let (plan, schema) = (activation.plan(), state.schema());
        let node = plan.node_name(activation.node);
        let of = (&*plan.name, node, schema.name, schema.version, self.version, (self.key)(state, input)?);
        let hash = hash_of(&of)?;
        hash.try_into().map_err(|_| "the hash has another length".to_owned())
    }
}

impl<S: State> ErasedNode<S> for CachedNode<S> {
    fn call(
        &self,
        state: Arc<S>,
        input: &Payload,
        activation: Arc<Activation>,
    ) -> BoxFuture<'static, NodeOutput> {
        let Some(results) = activation.run.results.clone() else {
            return self.inner.call(state, input, activation);
        };
        let key = match self.hash(&state, input, &activation) {
            Ok(key) => key,
            Err(reason) => {
                tracing::warn!(reason, "the result has no key, so it is not kept");
                return self.inner.call(state, input, activation);
            }
        };
        let (inner, input, ttl_ms) = (self.inner.clone(), input.clone(), self.ttl_ms);
        Box::pin(async move {
            if let Some(found) = found::<S>(&results, &key, &activation).await {
                activation.cached.store(true, Ordering::Release);
                return Ok(found);
            }
            let output = inner.call(state, &input, activation.clone()).await?;
            let is_plain = activation.answers.is_none() && !activation.posted.load(Ordering::Acquire);
            if is_plain && let Some(result) = stored::<S>(&output, &activation) {
                let expires_ms = (results.clock)().saturating_add(ttl_ms);
                if let Err(error) = results.cache.put(&key, result, expires_ms).await {
                    tracing::warn!(%error, "a result could not be kept");
                }
            }
            Ok(output)
        })
    }
}

/// A kept result, if it is one of this node as it is now.
async fn found<S: State>(
    results: &Cached,
    key: &[u8; 16],
    activation: &Activation,
) -> Option<(UpdateValue, Option<Box<Decision>>)> {
    let bytes = match results.cache.get(key, (results.clock)()).await {
        Ok(bytes) => bytes?,
        Err(error) => {
            tracing::warn!(%error, "kept results cannot be read");
            return None;
        }
    };
    let StoredResult { update, route } = match journal::decode(&bytes) {
        Ok(result) => result,
        Err(error) => {
            tracing::warn!(code = "SW-S466", %error, "a kept result is damaged, so its node runs");
            return None;
        }
    };
    let update: S::Update =
        if update.is_empty() { S::update() } else { rmp_serde::from_slice(&update).ok()? };
    let decision = match route {
        None => None,
        Some((label, payloads)) => {
            let variants = &activation.plan().nodes.get(activation.node.index())?.route;
            let variant = variants.iter().position(|variant| variant.label == label)?;
            Some(Box::new(Decision { variant: u16::try_from(variant).ok()?, payloads: payloads.read() }))
        }
    };
    Some((UpdateValue::live(update), decision))
}

fn stored<S: State>(
    (update, decision): &(UpdateValue, Option<Box<Decision>>),
    activation: &Activation,
) -> Option<Vec<u8>> {
    let update = match update {
        UpdateValue::Live(update) => rmp_serde::to_vec_named(update.downcast_ref::<S::Update>()?).ok()?,
        UpdateValue::Bytes(bytes) => bytes.to_vec(),
        UpdateValue::Empty => Vec::new(),
    };
    let route = match decision {
        None => None,
        Some(decision) => {
            let node = activation.plan().nodes.get(activation.node.index())?;
            let label = node.route.get(usize::from(decision.variant))?.label.to_owned();
            Some((label, StoredPayloads::of(&decision.payloads)?))
        }
    };
    // Framed as the entries of a journal are: with a version and a checksum.
    journal::encode(&StoredResult { update: ByteBuf::from(update), route }).ok()
}

impl StoredPayloads {
    fn of(payloads: &Payloads) -> Option<Self> {
        let one = |payload: &Payload| Some(ByteBuf::from(payload.encode().ok()?.unwrap_or_default()));
        Some(match payloads {
            Payloads::None => Self::None,
            Payloads::One(payload) => Self::One(one(payload)?),
            Payloads::Each(payloads) => Self::Each(payloads.iter().map(one).collect::<Option<_>>()?),
        })
    }

    fn read(self) -> Payloads {
        let one = |bytes: ByteBuf| match bytes.is_empty() {
            true => Payload::Unit,
            false => Payload::Bytes(bytes.into_vec().into()),
        };
        match self {
            Self::None => Payloads::None,
            Self::One(bytes) => Payloads::One(one(bytes)),
            Self::Each(list) => Payloads::Each(list.into_iter().map(one).collect()),
        }
    }
}
