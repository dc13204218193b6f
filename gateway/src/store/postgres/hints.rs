//! Hears when another gateway has changed something: `LISTEN causeway`, on a connection of its own.
//!
//! A notification is a hint and nothing more: it may be lost with a connection, so each new connection counts as one.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::connection::Connector;
use super::queue::Queue;

/// The channel. Whoever changes what operators keep says `NOTIFY causeway` in the same transaction.
pub(crate) const LISTEN: &str = "LISTEN causeway";
/// How long the server gets to take this up.
const STATEMENT: Duration = Duration::from_secs(4);
/// The pause before the next attempt. Nothing waits for it: what hints tell is looked for now and then anyway.
const PAUSE: Duration = Duration::from_secs(1);

/// Listens until the queue is closed.
pub(super) fn listen(runtime: &Handle, connector: &Arc<Connector>, queue: &Arc<Queue>) -> watch::Receiver<u64> {
    let (heard, hints) = watch::channel(0);
    let (connector, queue) = (Arc::clone(connector), Arc::clone(queue));
    runtime.spawn(async move {
        while !queue.is_over() {
            if let Ok(session) = connector.connect_and_hear(STATEMENT, Some(heard.clone())).await
                && session.batch(LISTEN).await.is_ok()
            {
                heard.send_modify(|count| *count += 1);
                tokio::select! {
                    () = session.ended() => {}
                    () = queue.closed() => return,
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    });
    hints
}
