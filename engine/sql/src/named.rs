//! The stores that name their database are opened differently and are otherwise a [`SqlStore`](crate::SqlStore).

/// Lets a struct with a field `store` be used as the store that it holds.
macro_rules! is_sql_store {
    ($named:ty) => {
        impl std::ops::Deref for $named {
            type Target = $crate::SqlStore;

            fn deref(&self) -> &$crate::SqlStore {
                &self.store
            }
        }

        impl From<$named> for $crate::SqlStore {
            fn from(named: $named) -> Self {
                named.store
            }
        }

        impl statewright_engine_runtime::Checkpointer for $named {
            fn open<'a>(
                &'a self,
                thread: &'a statewright_engine_core::ThreadId,
                durability: statewright_engine_runtime::Durability,
            ) -> futures_util::future::BoxFuture<
                'a,
                Result<Box<dyn statewright_engine_runtime::Journal>, statewright_engine_runtime::StoreError>,
            > {
                statewright_engine_runtime::Checkpointer::open(&self.store, thread, durability)
            }

            fn latest_snapshot<'a>(
                &'a self,
                thread: &'a statewright_engine_core::ThreadId,
            ) -> futures_util::future::BoxFuture<
                'a,
                Result<Option<statewright_engine_core::Entry>, statewright_engine_runtime::StoreError>,
            > {
                self.store.latest_snapshot(thread)
            }

            fn entries<'a>(
                &'a self,
                thread: &'a statewright_engine_core::ThreadId,
                ranges: &'a [(statewright_engine_core::Seq, statewright_engine_core::Seq)],
            ) -> futures_util::future::BoxFuture<
                'a,
                Result<Vec<statewright_engine_core::Entry>, statewright_engine_runtime::StoreError>,
            > {
                self.store.entries(thread, ranges)
            }

            fn list<'a>(
                &'a self,
                after: Option<&'a statewright_engine_core::ThreadId>,
                threads_max: u32,
            ) -> futures_util::future::BoxFuture<
                'a,
                Result<
                    Vec<(statewright_engine_core::ThreadId, statewright_engine_core::Seq)>,
                    statewright_engine_runtime::StoreError,
                >,
            > {
                self.store.list(after, threads_max)
            }

            fn delete<'a>(
                &'a self,
                thread: &'a statewright_engine_core::ThreadId,
                at: Option<statewright_engine_core::Seq>,
            ) -> futures_util::future::BoxFuture<'a, Result<bool, statewright_engine_runtime::StoreError>>
            {
                self.store.delete(thread, at)
            }
        }
    };
}
pub(crate) use is_sql_store;
