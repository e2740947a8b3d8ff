//! What the documentation of [`ResultCache`] promises, as a test.

use std::sync::Arc;

use statewright_engine_runtime::ResultCache;

/// Checks an empty cache.
///
/// # Panics
/// With the promise that the cache does not keep.
pub async fn result_cache(cache: Arc<dyn ResultCache>) {
    let get = async |key: &[u8; 16], now_ms: u64| match cache.get(key, now_ms).await {
        Ok(found) => found,
        Err(error) => panic!("the cache cannot be read: {error}"),
    };
    let put = async |key: &[u8; 16], result: Vec<u8>, expires_ms: u64| {
        if let Err(error) = cache.put(key, result, expires_ms).await {
            panic!("the cache cannot be written: {error}");
        }
    };
    let (one, other) = ([0; 16], [0xff; 16]);
    assert_eq!(get(&one, 0).await, None, "a key that was never put has no result");
    put(&one, b"first".to_vec(), 1_000).await;
    assert_eq!(get(&one, 0).await.as_deref(), Some(b"first".as_slice()), "a result comes back unchanged");
    assert_eq!(get(&one, 999).await.as_deref(), Some(b"first".as_slice()), "a result lasts until its time");
    assert_eq!(get(&one, 1_000).await, None, "and no longer");
    assert_eq!(get(&other, 0).await, None, "keys are told apart");
    put(&one, b"second".to_vec(), 2_000).await;
    assert_eq!(get(&one, 1_500).await.as_deref(), Some(b"second".as_slice()), "the last result counts");
    put(&one, Vec::new(), 500).await;
    assert_eq!(get(&one, 499).await, Some(Vec::new()), "an empty result is one");
    assert_eq!(get(&one, 1_500).await, None, "the time of the last result counts, too");
    let large: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    put(&other, large.clone(), u64::MAX >> 1).await;
    assert_eq!(get(&other, 10_000).await, Some(large), "a large result comes back whole");
}
