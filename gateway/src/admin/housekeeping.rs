//! What nobody asks for and has to be done now and then: sign-ins and links that have expired go, and messages that the
//! archive keeps no longer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::administration::InForce;
use super::store::{Answer, AsyncStore};
use crate::pool::{AsyncPool, PoolFault};
use crate::shell;
use crate::store::operator::ARCHIVE_PURGE;

/// How often it is looked. What has expired does not count before either; here it only stops taking room.
const EVERY: Duration = Duration::from_secs(600);
/// The pause between two purges of the archive, so that others may write.
const PAUSE: Duration = Duration::from_millis(200);

const DAY_MS: u64 = 24 * 3600 * 1000;

/// The name of the duty: of the gateways of a pool, one does it each time.
const DUTY: &str = "housekeeping";
/// How long it may take, in milliseconds, before another gateway may believe that the one is gone.
const DUTY_MS: u64 = 300_000;

/// Runs for ever.
pub async fn run(store: AsyncStore, pool: AsyncPool, in_force: watch::Receiver<Arc<InForce>>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let retention_days = in_force.borrow().config.archive_retention_days;
        // The next time is soon enough.
        if let Err(error) = clean_once(&store, &pool, shell::now().unix_ms, retention_days).await {
            tracing::warn!(%error, "what has expired was not removed");
        }
    }
}

/// Cleans, unless another gateway does or did it at this time.
async fn clean_once(store: &AsyncStore, pool: &AsyncPool, now_ms: u64, retention_days: u32) -> Result<(), PoolFault> {
    let occasion = (Duration::from_millis(now_ms).as_secs() / EVERY.as_secs()).to_string();
    if pool.is_ours(DUTY, &occasion, now_ms, now_ms.saturating_add(DUTY_MS)).await? {
        clean(store, now_ms, retention_days).await?;
        pool.finish_duty(DUTY, &occasion).await?;
    }
    Ok(())
}

/// Removes what is too old at a moment.
async fn clean(store: &AsyncStore, now_ms: u64, retention_days: u32) -> Answer<()> {
    store.purge_expired(now_ms).await?;
    let before_ms = now_ms.saturating_sub(u64::from(retention_days) * DAY_MS);
    // Also of partners that are none any more.
    for count in store.archive_counts().await? {
        if count.oldest_ms >= before_ms {
            continue;
        }
        let mut removed = 0;
        loop {
            let more = store.purge_archive(count.partner.clone(), before_ms).await?;
            removed += more;
            if usize::try_from(more).unwrap_or(usize::MAX) < ARCHIVE_PURGE {
                break;
            }
            sleep(PAUSE).await;
        }
        tracing::info!(
            partner = count.partner,
            removed,
            "messages were removed from the archive, as its retention says"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::{accounts, archive};
    use crate::store::operator::{Along, ArchiveFilter};
    use crate::store::sqlite::SqliteStore;

    #[tokio::test]
    async fn what_is_too_old_goes_and_the_rest_stays() {
        let folder = std::env::temp_dir().join(format!("causeway-housekeeping-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let store = AsyncStore::new(Arc::new(SqliteStore::open(folder.join("a.db")).unwrap()));
        let now = 100 * DAY_MS;
        let at = |remote, at_ms| archive::message(remote, at_ms, "text");
        let old = [at("b@fabrikam.example", now - 31 * DAY_MS), at("b@wingtip.example", 1)];
        let kept = [at("b@fabrikam.example", now - 30 * DAY_MS), at("b@fabrikam.example", now)];
        store.archive(old.into_iter().chain(kept).collect()).await.unwrap();
        store.put_account(accounts::account("alice"), Along::default()).await.unwrap();
        store.put_login(accounts::login("alice", 1)).await.unwrap();

        clean(&store, now, 30).await.unwrap();

        let left = store.archived(ArchiveFilter::default(), 0, 10).await.unwrap();
        assert_eq!(left.iter().map(|message| message.id).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(store.login([1; 32]).await.unwrap(), None);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn of_two_gateways_one_cleans_each_time() {
        let folder = std::env::temp_dir().join(format!("causeway-housekeeping-duty-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let engine = Arc::new(SqliteStore::open(folder.join("a.db")).unwrap());
        let (store, now) = (AsyncStore::new(Arc::clone(&engine) as _), 100 * DAY_MS);
        let [one, other] = ["one", "other"].map(|holder| AsyncPool::new(Arc::clone(&engine) as _, holder));
        let old = async || {
            let message = archive::message("b@fabrikam.example", 1, "text");
            store.archive(vec![message]).await.unwrap();
        };
        let left = async || store.archived(ArchiveFilter::default(), 0, 10).await.unwrap().len();
        old().await;
        clean_once(&store, &one, now, 30).await.unwrap();
        assert_eq!(left().await, 0);
        old().await;
        clean_once(&store, &other, now + 1, 30).await.unwrap();
        assert_eq!(left().await, 1);
        clean_once(&store, &other, now + 600_000, 30).await.unwrap();
        assert_eq!(left().await, 0);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
