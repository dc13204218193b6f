//! The edge receives peers that try the best they can do, offered or not.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use causeway_tests::peer::xmpp::Stream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::document;
use crate::oracle::{self, External, Tls};
use crate::world::{Cell, LOCAL, World, cells};

/// Peers at once.
const AT_ONCE: usize = 16;

/// How long a stream that nobody closes is watched.
const WATCH: Duration = Duration::from_millis(500);

const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const AUTH: &str = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";

/// The peer has proved who it is; by what, the edge knows.
const PROVED: &str = "proved";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_valid_row_receives_every_peer_as_the_table_says() {
    let cells = cells(&[External::None, External::Works]);
    let world = Arc::new(World::start("matrix-in", &cells).await);
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    let mut courses = JoinSet::new();
    for cell in cells {
        let (world, gate) = (Arc::clone(&world), Arc::clone(&gate));
        courses.spawn(async move {
            let _turn = gate.acquire().await;
            let steps = Course::play(&cell, &world).await;
            (cell, steps)
        });
    }
    let mut courses: Vec<_> = courses.join_all().await;
    courses.sort_by(|(a, _), (b, _)| a.domain.cmp(&b.domain));
    let proved: Vec<_> = courses
        .iter()
        .filter(|(_, steps)| steps.as_ref().is_ok_and(|steps| steps.last().is_some_and(|step| step == PROVED)))
        .map(|(cell, _)| cell.domain.as_str())
        .collect();
    let methods = world.methods("in", &proved).await;
    let mut found = Vec::new();
    for (cell, steps) in &courses {
        let mut steps = steps.as_ref().unwrap_or_else(|error| panic!("{}: {error}", cell.domain)).clone();
        if steps.last().is_some_and(|step| step == PROVED) {
            steps.pop();
            if world.server.seen(&cell.domain).contains(&"verify") {
                steps.push("asks the authoritative server".to_owned());
            }
            steps.push(methods[&cell.domain].to_owned());
        }
        assert_eq!(steps, oracle::receiving(cell.row, cell.peer), "{}", cell.domain);
        found.push((cell.row.number, cell.peer, methods.get(&cell.domain).copied()));
    }
    document::check("scripted peers connect", &found);
}

struct Course<'a> {
    stream: Stream,
    cell: &'a Cell,
    steps: Vec<String>,
}

impl<'a> Course<'a> {
    async fn play(cell: &'a Cell, world: &World) -> io::Result<Vec<String>> {
        let stream = Stream::connect(None, world.road.plan.edge).await?;
        let mut course = Self { stream, cell, steps: Vec::new() };
        course.open().await?;
        let peer = cell.peer;
        if peer.tls == Tls::Insists || (peer.tls == Tls::Can && course.was_offered("starttls")) {
            course.say(STARTTLS).await?;
            if course.last() == "proceeds" {
                course.stream.connect_tls(Arc::clone(world.tls(peer)), LOCAL).await?;
                course.open().await?;
            }
        }
        if course.last().starts_with("offers") {
            course.prove().await?;
        }
        Ok(course.steps)
    }

    async fn prove(&mut self) -> io::Result<()> {
        let Cell { peer, domain, .. } = self.cell;
        let has_external = peer.external != External::None;
        if has_external && (self.was_offered("external") || !peer.dialback) {
            let was_offered = self.was_offered("external");
            self.say(AUTH).await?;
            if was_offered {
                return Ok(());
            }
            return match tokio::time::timeout(WATCH, self.listen()).await {
                Ok(heard) => heard,
                Err(_) => {
                    self.steps.push("waits".to_owned());
                    Ok(())
                }
            };
        }
        if peer.dialback {
            return self.say(&format!("<db:result from='{domain}' to='{LOCAL}'>key</db:result>")).await;
        }
        self.say(&format!("<message from='bob@{domain}' to='alice@{LOCAL}'><body>hi</body></message>")).await
    }

    async fn open(&mut self) -> io::Result<()> {
        let opened = self.stream.open(&self.cell.domain, LOCAL).await?;
        self.steps.push(word(&opened.features));
        Ok(())
    }

    /// Says something and hears one answer.
    async fn say(&mut self, text: &str) -> io::Result<()> {
        self.stream.send(text).await?;
        self.listen().await
    }

    async fn listen(&mut self) -> io::Result<()> {
        let piece = self.stream.next().await?;
        self.steps.push(word(piece.text()));
        Ok(())
    }

    fn last(&self) -> &str {
        self.steps.last().map_or("", String::as_str)
    }

    fn was_offered(&self, feature: &str) -> bool {
        self.last().starts_with("offers") && self.last().contains(feature)
    }
}

/// What the edge said, in the oracle's words.
fn word(said: &str) -> String {
    let name = |all: &[&'static str]| all.iter().copied().find(|name| said.contains(name)).unwrap_or("of another kind");
    if said.starts_with("<stream:features") {
        let starttls = if said.contains("<required/>") { "starttls required" } else { "starttls" };
        let offered = [("<starttls", starttls), ("EXTERNAL", "external"), ("<dialback", "dialback")];
        let offered: Vec<_> = offered.iter().filter(|(sign, _)| said.contains(sign)).map(|(_, name)| *name).collect();
        return format!("offers {}", offered.join(", "));
    }
    if said.starts_with("<stream:error") {
        return format!("stream error {}", name(&["policy-violation", "not-authorized"]));
    }
    if said.starts_with("<proceed") {
        return "proceeds".to_owned();
    }
    if said.starts_with("<failure") && said.contains("xmpp-tls") {
        return "starttls failure".to_owned();
    }
    if said.starts_with("<failure") {
        return format!("sasl {}", name(&["encryption-required", "invalid-mechanism", "not-authorized"]));
    }
    if said.starts_with("<db:result") && said.contains("type='error'") {
        return format!("dialback error {}", name(&["policy-violation", "not-authorized"]));
    }
    if said.starts_with("<success") || (said.starts_with("<db:result") && said.contains("type='valid'")) {
        return PROVED.to_owned();
    }
    format!("says {said}")
}
