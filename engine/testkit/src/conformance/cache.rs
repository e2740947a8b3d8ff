//! What the documentation of [`ResultCache`] promises, as a test.

use std::sync::Arc;

use statewright_engine_runtime::{CacheLimits, ResultCache};

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

/// Checks that a cache with these limits keeps to them: `make` gives an empty one.
///
/// # Panics
/// With the promise that the cache does not keep.
pub async fn result_cache_is_bounded(make: impl AsyncFn(CacheLimits) -> Arc<dyn ResultCache>) {
    let kept = async |cache: &dyn ResultCache| {
        let mut kept = Vec::new();
        for number in 0..=255 {
            match cache.get(&[number; 16], 0).await {
                Ok(found) => kept.extend(found.map(|_| number)),
                Err(error) => panic!("the cache cannot be read: {error}"),
            }
        }
        kept
    };
    let put = async |cache: &dyn ResultCache, number: u8, bytes: usize, expires_ms: u64| {
        if let Err(error) = cache.put(&[number; 16], vec![number; bytes], expires_ms).await {
            panic!("the cache cannot be written: {error}");
        }
    };
    let expire = async |cache: &dyn ResultCache, now_ms: u64| match cache.expire(now_ms).await {
        Ok(gone) => gone,
        Err(error) => panic!("the cache cannot be written: {error}"),
    };
    let few = make(CacheLimits { results_max: 3, bytes_max: 1 << 20 }).await;
    for (number, expires_ms) in [(1, 400), (2, 100), (3, 300), (4, 200)] {
        put(&*few, number, 1, expires_ms).await;
    }
    assert_eq!(kept(&*few).await, [1, 3, 4], "of too many results the one goes whose time is over first");
    put(&*few, 4, 1, 500).await;
    assert_eq!(kept(&*few).await, [1, 3, 4], "a result in place of an earlier one is no more than that");
    put(&*few, 5, 1, 350).await;
    assert_eq!(kept(&*few).await, [1, 4, 5], "and its time is the later one");
    put(&*few, 6, 1, 10).await;
    assert_eq!(kept(&*few).await, [1, 4, 5], "nor is one kept whose time is over before that of all others");
    assert_eq!(expire(&*few, 399).await, 1);
    assert_eq!(kept(&*few).await, [1, 4], "what has expired is forgotten");
    assert_eq!(expire(&*few, 400).await, 1, "a result is over at its time");
    assert_eq!((expire(&*few, 400).await, kept(&*few).await), (0, vec![4]));

    let small = make(CacheLimits { results_max: 100, bytes_max: 10_000 }).await;
    for (number, bytes, expires_ms) in [(1, 4_000, 100), (2, 4_000, 300), (3, 2_000, 200)] {
        put(&*small, number, bytes, expires_ms).await;
    }
    assert_eq!(kept(&*small).await, [1, 2, 3], "exactly as many bytes as may be");
    put(&*small, 4, 200, 400).await;
    assert_eq!(kept(&*small).await, [2, 3, 4], "of too many bytes those go whose time is over first");
    put(&*small, 2, 10_001, 900).await;
    assert_eq!(
        kept(&*small).await,
        [3, 4],
        "one that is larger than all may be is not kept, nor what it replaces"
    );
    put(&*small, 5, 9_900, 800).await;
    assert_eq!(kept(&*small).await, [5], "as many go as there is no room for");
}
