//! An administration on a store of its own, for tests: no edges, no pool, everything else as it runs.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use causeway_shared::health::Leg;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, watch};

use super::administration::{Administration, Author, InForce, TAKE_UP_QUEUE, TakeUp};
use super::change::stored;
use super::desk::Desk;
use super::journal::ActorKind;
use super::login::Login;
use super::store::AsyncStore;
use crate::config::Config;
use crate::dev_certs::Order;
use crate::link::{LinkConfig, Links};
use crate::pool::{Pool, View};
use crate::store::Store;
use crate::store::open::Stores;
use crate::store::sqlite::SqliteStore;
use crate::trace::{Operator, Recorder};

/// A folder of its own, gone at the end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // It is in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The administration and what it rests on.
pub(crate) struct Rig {
    _folder: Folder,
    pub(crate) operators: AsyncStore,
    pub(crate) administration: Administration,
    store: Arc<dyn Store>,
    text: Arc<Mutex<Arc<str>>>,
    pub(crate) links: Links,
    /// What this gateway hears of the others.
    pub(crate) view: View,
    _shutdown: watch::Sender<bool>,
}

impl Rig {
    /// With this behind the smallest configuration that runs; the domain is contoso.example.
    pub(crate) async fn new(more: &str) -> Self {
        Self::on(more, |folder| Stores::of(Arc::new(SqliteStore::open(folder.join("store.sqlite")).unwrap()))).await
    }

    /// The same on a store that others may have, too.
    pub(crate) async fn on(more: &str, store: impl FnOnce(&Path) -> Stores) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("causeway-admin-{}-{number}", std::process::id()));
        let folder = Folder(folder);
        let order = Order {
            out: folder.0.clone(),
            domains: Vec::new(),
            edges: vec!["edge".to_owned()],
            gateways: vec!["gateway".to_owned()],
            force: true,
        };
        order.make().unwrap();
        let text: Arc<str> = format!("{}\n{more}", smallest(&folder.0)).into();
        let Stores { pairs: store, operators, .. } = store(&folder.0);
        let operators = AsyncStore::new(operators);
        let first = read(&text, &operators).await;
        let config = Arc::clone(&first.config);
        let (in_force, in_force_changes) = watch::channel(Arc::new(first));
        let (take_up, wishes) = mpsc::channel(TAKE_UP_QUEUE);
        let text = Arc::new(Mutex::new(text));
        tokio::spawn(follow(Arc::clone(&text), operators.clone(), in_force, wishes));
        let (shutdown, shutting_down) = watch::channel(false);
        let link = LinkConfig {
            gateway_id: "gateway-1".to_owned(),
            instance_id: "gateway-1-test".to_owned(),
            edges: watch::channel(Arc::new(Vec::new())).1,
            tls: watch::channel(config.link.load().unwrap()).1,
            allowed_edges: watch::channel(Arc::new(Vec::new())).1,
        };
        let (links, _events) = Links::start(link, shutting_down);
        let administration = Administration::new(operators.clone(), in_force_changes, take_up, links.clone());
        Self {
            _folder: folder,
            operators,
            administration,
            store,
            text,
            links,
            view: View::default(),
            _shutdown: shutdown,
        }
    }

    /// Adds to the file while the gateway runs.
    pub(crate) async fn declare(&self, more: &str) {
        {
            let mut text = self.text.lock().unwrap();
            *text = format!("{text}\n{more}").into();
        }
        self.administration.take_up().await.unwrap();
    }

    /// All of it, for what operators touch.
    pub(crate) fn desk(&self) -> Arc<Desk> {
        let config = &self.administration.in_force().config;
        let settings = crate::run::settings_without_pool(config);
        let panel = watch::channel(Arc::new(config.panel.clone())).1;
        let recorder = Arc::<Recorder>::default();
        let settings = watch::channel(Arc::new(settings)).1;
        let pairs = Arc::clone(&self.store);
        // No engine runs: what only it can answer, nobody answers.
        let (operator, _) =
            Operator::new(Arc::clone(&recorder), Arc::clone(&pairs), self.links.clone(), settings.clone());
        Arc::new(Desk {
            administration: self.administration.clone(),
            login: Login::new(self.operators.clone(), panel),
            store: self.operators.clone(),
            pairs,
            recorder,
            operator,
            links: self.links.clone(),
            settings,
            legs: Arc::new(|| vec![Leg::new("store", true, "it answers")]),
            replicas: Pool::seen(self.view.clone()),
        })
    }
}

/// What `run` does with a wish.
async fn follow(
    text: Arc<Mutex<Arc<str>>>,
    operators: AsyncStore,
    in_force: watch::Sender<Arc<InForce>>,
    mut wishes: mpsc::Receiver<TakeUp>,
) {
    while let Some(wish) = wishes.recv().await {
        let now = Arc::clone(&text.lock().unwrap());
        let fresh = Arc::new(read(&now, &operators).await);
        in_force.send_replace(Arc::clone(&fresh));
        let _gone = wish.send(Ok(fresh));
    }
}

async fn read(text: &Arc<str>, operators: &AsyncStore) -> InForce {
    let data = operators.operator_data().await.unwrap();
    let (read, suspended) = Config::load_leniently(text, &[], &stored(&data));
    let (config, warnings) = read.unwrap();
    InForce {
        config: Arc::new(config),
        text: Arc::clone(text),
        environment: [].into(),
        data: Arc::new(data),
        suspended,
        warnings,
        snapshot: 0,
        digest: Arc::default(),
    }
}

fn smallest(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"
        gateway_id = "gateway-1"
        domains = ["contoso.example"]
        [link]
        edges = ["127.0.0.1:9"]
        certificate = "{folder}/link-gateway.crt"
        key = "{folder}/link-gateway.key"
        ca = "{folder}/link-ca.crt"
        allowed_edges = ["edge"]
        [sip]
        tcp = ["127.0.0.1:5060"]
        contact = "sip:127.0.0.1:5060;transport=tcp"
        next_hops = ["tcp:127.0.0.1:5070"]
        [[sip.trusted_peers]]
        name = "pool"
        addresses = ["127.0.0.0/8"]
        [store]
        path = "{folder}/store.sqlite"
        "#
    )
}

/// Somebody.
pub(crate) fn author(name: &str) -> Author {
    Author { name: name.to_owned(), kind: ActorKind::Account, address: "192.0.2.1".to_owned() }
}

/// A JSON object.
pub(crate) fn object(value: Value) -> Map<String, Value> {
    let Value::Object(object) = value else { panic!("no object: {value}") };
    object
}
