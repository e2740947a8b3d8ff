//! Results that are kept by a key, on each database: `Place` is where one lies.

use std::sync::Arc;

use crate::common::Place;
use statewright_engine_runtime::{CacheLimits, ResultCache};
use statewright_engine_testkit::conformance;

#[tokio::test]
async fn the_table_of_results_is_a_result_cache() {
    let Some(place) = Place::new() else { return };
    conformance::result_cache(Arc::new(place.open().await.results(CacheLimits::default()))).await;
}

#[tokio::test]
async fn the_table_of_results_keeps_to_its_limits() {
    if Place::new().is_none() {
        return;
    }
    let places = std::cell::RefCell::new(Vec::new());
    conformance::result_cache_is_bounded(async |limits| {
        let place = Place::new().unwrap();
        let results = Arc::new(place.open().await.results(limits));
        places.borrow_mut().push(place);
        results as Arc<dyn ResultCache>
    })
    .await;
}

#[tokio::test]
async fn a_result_is_found_by_other_programs_and_after_the_database_was_closed() {
    let Some(place) = Place::new() else { return };
    let (store, other) = (place.open().await, place.open().await);
    let (results, others) = (store.results(CacheLimits::default()), other.results(CacheLimits::default()));
    results.put(&[7; 16], b"kept".to_vec(), 1_000).await.unwrap();
    assert_eq!(others.get(&[7; 16], 999).await.unwrap().as_deref(), Some(b"kept".as_slice()));
    others.put(&[7; 16], b"again".to_vec(), 2_000).await.unwrap();
    store.close().await;
    other.close().await;
    let error = results.get(&[7; 16], 0).await.unwrap_err();
    assert_eq!(error.code(), "SW-S404", "a closed store says so: {error}");
    let reopened = place.open().await;
    let found = reopened.results(CacheLimits::default()).get(&[7; 16], 1_999).await.unwrap();
    assert_eq!(found.as_deref(), Some(b"again".as_slice()));
}

#[tokio::test]
async fn what_an_earlier_program_kept_too_much_goes_with_the_first_result() {
    let Some(place) = Place::new() else { return };
    let generous = place.open().await.results(CacheLimits::default());
    for number in 0..20 {
        generous.put(&[number; 16], vec![number], 100 + u64::from(number)).await.unwrap();
    }
    let thrifty = place.open().await.results(CacheLimits { results_max: 2, ..CacheLimits::default() });
    thrifty.put(&[50; 16], vec![50], 50).await.unwrap();
    for (number, is_kept) in [(17, false), (18, true), (19, true), (50, false)] {
        assert_eq!(thrifty.get(&[number; 16], 0).await.unwrap().is_some(), is_kept, "{number}");
    }
}

#[tokio::test]
async fn results_are_swept_after_each_64th_part_of_what_may_be_kept() {
    let Some(place) = Place::new() else { return };
    let results = place.open().await.results(CacheLimits { results_max: 128, ..CacheLimits::default() });
    let mut most = 0;
    for number in 0..200u8 {
        results.put(&[number; 16], vec![number], 1_000 + u64::from(number)).await.unwrap();
        let mut kept = 0;
        for before in 0..=number {
            kept += usize::from(results.get(&[before; 16], 0).await.unwrap().is_some());
        }
        most = most.max(kept);
    }
    assert!((128..=130).contains(&most), "{most}");
}

#[tokio::test]
async fn a_database_of_the_first_version_gets_the_table_of_results() {
    let Some(place) = Place::new() else { return };
    drop(place.open().await);
    place.sql(Place::FIRST_VERSION).await;
    let store = place.open().await;
    assert_eq!((store.migration().from, store.migration().to), (1, 2));
    let results = store.results(CacheLimits::default());
    results.put(&[1; 16], vec![1], 10).await.unwrap();
    assert_eq!(results.get(&[1; 16], 0).await.unwrap(), Some(vec![1]));
}
