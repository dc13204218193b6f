//! Everything that is served, put together, and kept in step with the configuration.

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use tokio::sync::watch;

use super::administration::InForce;
use super::desk::Desk;
use super::login::gate::{Around, Gate, SaysAround, gate};
use super::login::{Denied, Login};
use super::panel::{self, dress::dress};
use super::replicas::others;
use super::{serve, store::AsyncStore};
use crate::config::PanelConfig;

/// The interface and the pages, besides those for signing in.
fn inside(desk: Arc<Desk>) -> Router {
    super::api::router(Arc::clone(&desk)).merge(panel::pages(desk))
}

/// All routes with the layers before them.
pub(crate) fn router(login: Login, around: SaysAround, inside: Router) -> Router {
    let gate_state = Gate::new(login.clone(), around);
    panel::routes(login)
        .merge(inside)
        .fallback(async || Denied::NotFound)
        .layer(from_fn_with_state(gate_state, gate))
        .layer(from_fn(dress))
}

/// The login that pages and interface share, and what the listeners follow.
pub struct Web {
    /// Who may operate.
    pub login: Login,
    panel: watch::Receiver<Arc<PanelConfig>>,
    tls: watch::Receiver<Option<Arc<rustls::ServerConfig>>>,
}

impl Web {
    /// Follows the configuration in force from now on.
    pub fn new(store: AsyncStore, mut in_force: watch::Receiver<Arc<InForce>>) -> Self {
        let first = in_force.borrow_and_update().config.panel.clone();
        let (tls, tls_changes) = watch::channel(loaded(&first).unwrap_or_default());
        let (panel, panel_changes) = watch::channel(Arc::new(first));
        tokio::spawn(async move {
            while in_force.changed().await.is_ok() {
                let fresh = in_force.borrow_and_update().config.panel.clone();
                // The files may have changed though the configuration has not.
                if let Some(fresh) = loaded(&fresh) {
                    tls.send_replace(fresh);
                }
                panel.send_if_modified(|config| {
                    let differs = **config != fresh;
                    *config = Arc::new(fresh);
                    differs
                });
            }
        });
        Self { login: Login::new(store, panel_changes.clone()), panel: panel_changes, tls: tls_changes }
    }

    /// Serves until `shutdown` becomes true.
    pub fn start(self, desk: Arc<Desk>, shutdown: watch::Receiver<bool>) {
        let Self { login, panel, tls } = self;
        let shown = Arc::clone(&desk);
        let around: SaysAround = Arc::new(move || around(&shown));
        tokio::spawn(login.clone().tidy());
        tokio::spawn(tell_set_up_link(login.clone()));
        tokio::spawn(serve::serve(router(login, around, inside(desk)), panel, tls, shutdown));
    }
}

fn around(desk: &Desk) -> Around {
    let view = desk.replicas.view();
    Around { bodies_shown: desk.shows_bodies(), gateway: view.gateway_id.clone(), others: others(&view) }
}

/// The certificate of the panel; `None` if its files cannot be used just now, and the one so far stays.
fn loaded(config: &PanelConfig) -> Option<Option<Arc<rustls::ServerConfig>>> {
    let Some(files) = &config.tls else { return Some(None) };
    files.load().map(Some).map_err(|error| tracing::error!(%error, "panel: the certificate so far stays in use")).ok()
}

/// While there is no account, the way to the first one, where whoever has started the gateway sees it.
async fn tell_set_up_link(login: Login) {
    match login.set_up_link().await {
        Ok(Some(link)) => {
            tracing::warn!(link, "there is no account yet: this link makes the first one, once, within 24 hours");
            eprintln!("There is no account yet. This link makes the first one, once, within 24 hours:\n{link}");
        }
        Ok(None) => {}
        Err(_) => tracing::error!("there may be no account yet, and no link could be made; restart the gateway"),
    }
}
