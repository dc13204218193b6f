//! `causeway` against the gateway's own process: an operator's work from the first partner to the restored backup, with
//! the exit codes and the words that scripts and people go by.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::path::{Path, PathBuf};

use causeway_tests::peer::process::{self, Process};
use causeway_tests::peer::road::{PartnerPlan, Plan, Road};
use serde_json::Value as Json;

/// As `--help` documents them.
const FINE: i32 = 0;
const NOT_IN_ORDER: i32 = 1;
const WRONG: i32 = 2;
const REFUSED: i32 = 3;
const UNREACHABLE: i32 = 4;

/// A gateway with an edge and a socket for its operator.
struct Desk {
    road: Road,
    socket: PathBuf,
    panel: u16,
    _edge: Process,
    gateway: Process,
}

impl Desk {
    async fn new(name: &str) -> Self {
        process::build().unwrap();
        let partners = vec![PartnerPlan::external("fabrikam.example")];
        let road = Road::new(name, Plan::free([127, 0, 0, 1].into(), "contoso.example", partners).unwrap()).unwrap();
        let socket = road.folder().join("gateway.sock");
        let panel = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = std::fs::read_to_string(road.gateway_config()).unwrap();
        let served = format!("[panel]\nlisten = '127.0.0.1:{panel}'\nsocket = '{}'\n", socket.display());
        assert!(text.contains("[panel]\nlisten = ''\nsocket = ''\n"));
        let text = text.replace("[panel]\nlisten = ''\nsocket = ''\n", &served);
        // Settings are the operator's, so the file has none.
        std::fs::write(road.gateway_config(), text).unwrap();
        let (edge, gateway) = (road.start_edge().await.unwrap(), road.start_gateway().await.unwrap());
        road.ready().await.unwrap();
        causeway_tests::peer::until("the socket is there", async || socket.exists().then_some(())).await.unwrap();
        Self { road, socket, panel, _edge: edge, gateway }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.road.folder().join(name)
    }

    /// Runs the command over the socket; words in capitals after a dollar are files of the folder.
    fn causeway(&self, line: &str) -> Said {
        let folder = self.road.folder().display().to_string();
        let words: Vec<String> = line.split(' ').map(|word| word.replace('$', &format!("{folder}/"))).collect();
        let mut all = vec!["--socket".to_owned(), self.socket.display().to_string()];
        all.extend(words);
        run(&all, line)
    }

    /// The answer as JSON.
    fn asked(&self, line: &str) -> Json {
        let said = self.causeway(&format!("-o json {line}"));
        assert_eq!(said.code, FINE, "{said:?}");
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"))
    }
}

/// What a command said and how it ended.
#[derive(Debug)]
struct Said {
    line: String,
    code: i32,
    out: String,
    error: String,
}

impl Said {
    #[track_caller]
    fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}: {self:?}", self.line);
        self
    }

    #[track_caller]
    fn says(self, text: &str) -> Self {
        assert!(self.out.contains(text) || self.error.contains(text), "not {text}: {self:?}");
        self
    }
}

fn run(words: &[String], line: &str) -> Said {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let output = process::run(&process::program("causeway").unwrap(), &words).unwrap();
    Said {
        line: line.to_owned(),
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        error: String::from_utf8(output.stderr).unwrap(),
    }
}

const EXPORT: &str = r#"[
    {"Identity": "litware.example", "Domain": "litware.example", "PartnerType": "Federated", "TlsNegotiation": "Required",
     "SaslNegotiation": "Optional", "SupportDialbackNegotiation": true, "ConnectionLimit": 9000},
    {"Identity": "Site:Redmond", "EnableXmppAccess": true, "EnableFederationAccess": true},
    {"Identity": "Tag:Sales", "EnableXmppAccess": true, "EnableFederationAccess": true}
]"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_manages_partners_settings_and_policies() {
    let desk = Desk::new("cli-partners").await;
    desk.causeway("status").ends(FINE);
    desk.causeway("partner get").ends(FINE).says("fabrikam.example").says("file");

    desk.causeway("partner new litware.example --partner-type Federated --whatif")
        .ends(FINE)
        .says("tried out")
        .says("Federated");
    desk.causeway("partner get litware.example").ends(REFUSED);
    desk.causeway("partner new litware.example --partner-type Federated").ends(FINE).says("version");
    desk.causeway("partner new litware.example").ends(REFUSED).says("litware.example");
    desk.causeway("partner get --filter lit*").ends(FINE).says("litware.example");
    let version = desk.asked("partner get litware.example")["version"].as_u64().unwrap();
    desk.causeway("partner set litware.example --add-domain eu.litware.example").ends(FINE).says("eu.litware.example");
    desk.causeway(&format!("partner set litware.example --description x --if-version {version}")).ends(REFUSED);
    desk.causeway("partner set litware.example").ends(WRONG).says("nothing is to be changed");
    desk.causeway("partner set litware.example --tls-negotiation NotSupported").ends(REFUSED).says("tls_negotiation");
    desk.causeway("partner set fabrikam.example --description x").ends(REFUSED);
    desk.causeway("partner new contoso.example").ends(REFUSED).says("contoso.example");
    desk.causeway("partner remove litware.example").ends(FINE);
    desk.causeway("partner remove litware.example").ends(REFUSED);

    desk.causeway("settings set --keep-alive-interval 240 --min-s2s-method tls-dialback").ends(FINE);
    assert_eq!(desk.asked("settings get")["keep_alive_interval_secs"], 240);
    desk.causeway("settings set --connection-limit 0").ends(REFUSED).says("connection_limit");
    desk.causeway("settings set --clear keep-alive-interval").ends(FINE).says("300");

    desk.causeway("policy new Global --enable-xmpp-access true").ends(FINE);
    desk.causeway("policy new Tag:Sales").ends(FINE);
    desk.causeway("policy grant ada@contoso.example Sales").ends(FINE);
    desk.causeway("policy get --grants").ends(FINE).says("ada@contoso.example");
    desk.causeway("policy effective ada@contoso.example").ends(FINE).says("ag:sales");
    desk.causeway("policy set Tag:Sales --enable-xmpp-access true").ends(FINE).says("enable_xmpp_access");
    desk.causeway("policy remove Tag:Sales").ends(REFUSED);
    desk.causeway("policy revoke ada@contoso.example").ends(FINE);
    desk.causeway("policy remove Tag:Sales").ends(FINE);
    desk.causeway("policy get").ends(FINE).says("Global");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_imports_audits_saves_and_restores() {
    let desk = Desk::new("cli-import").await;
    std::fs::write(desk.file("lync.json"), EXPORT).unwrap();
    std::fs::write(desk.file("broken.xml"), "<Objs><Obj>").unwrap();
    desk.causeway("import lync $broken.xml").ends(WRONG).says("broken.xml").says("line");
    desk.causeway("import lync $lync.json").ends(FINE).says("1000").says("Redmond").says("--commit");
    desk.causeway("partner get litware.example").ends(REFUSED);
    desk.causeway("import lync $lync.json --commit").ends(FINE);
    assert_eq!(desk.asked("partner get litware.example")["connection_limit"], 1000);
    desk.causeway("policy get").ends(FINE).says("ag:sales");

    desk.causeway("audit").ends(FINE).says("partner.new");
    desk.causeway("audit --verify").ends(FINE).says("intact");
    desk.causeway("audit --export $audit.ndjson").ends(FINE);
    assert!(std::fs::read_to_string(desk.file("audit.ndjson")).unwrap().lines().count() >= 2);

    desk.causeway("backup $saved").ends(FINE);
    desk.causeway("partner remove litware.example").ends(FINE);
    desk.causeway("restore $saved").ends(WRONG).says("--confirm=false");
    desk.causeway("restore $saved --confirm=false").ends(FINE);
    desk.causeway("partner get litware.example").ends(FINE);
    desk.causeway("restore $lync.json --confirm=false").ends(REFUSED);
    desk.causeway("archive").ends(FINE);
    desk.causeway("archive export $archive.ndjson").ends(FINE);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_finds_out_what_happens_and_why() {
    let desk = Desk::new("cli-trace").await;
    desk.causeway("streams").ends(FINE).says("no live streams");
    desk.causeway("streams close edge-1 4711 --force").ends(REFUSED);
    desk.causeway("queues").ends(FINE);
    desk.causeway("verdicts --partner fabrikam.example").ends(FINE);
    // Nobody answers for the partner, nor for the pool.
    desk.causeway("check").ends(NOT_IN_ORDER).says("fabrikam.example");
    desk.causeway("explain ada@contoso.example bob@fabrikam.example").ends(FINE).says("bob@fabrikam.example");
    desk.causeway("explain ada@contoso.example nobody").ends(REFUSED);
    desk.causeway("trace ada@contoso.example bob@fabrikam.example").ends(FINE);
    desk.causeway("trace ada@contoso.example bob@fabrikam.example --svg $ladder.svg").ends(FINE);
    assert!(std::fs::read_to_string(desk.file("ladder.svg")).unwrap().contains("<svg"));
    desk.causeway("simulate bob@fabrikam.example ada@contoso.example").ends(FINE).says("passes");
    desk.causeway("simulate bob@nobody.example ada@contoso.example").ends(NOT_IN_ORDER).says("no partner");
    desk.causeway("simulate bob@fabrikam.example ada@contoso.example --kind Sometimes").ends(REFUSED).says("kind");
    desk.causeway("test-im ada@contoso.example bob@nobody.example").ends(NOT_IN_ORDER).says("not delivered");
    desk.causeway("pair remove ada@contoso.example bob@fabrikam.example --force").ends(FINE).says("so already");
    desk.causeway("tap --kind Sometimes").ends(REFUSED).says("kind");
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_and_tokens_let_in_and_keep_out() {
    let mut desk = Desk::new("cli-tokens").await;
    std::fs::write(desk.file("password"), "a long word of passage 4711\n").unwrap();
    desk.causeway("account new robot --role ViewOnlyAdministrator --password-file $password").ends(FINE);
    std::fs::write(desk.file("short"), "x\n").unwrap();
    desk.causeway("account new other --role Administrator --password-file $short").ends(REFUSED).says("password");
    desk.causeway("account get").ends(FINE).says("robot");
    let token = desk.causeway("token new monitoring --account robot --scope read").ends(FINE).out;
    std::fs::write(desk.file("token"), token).unwrap();
    let over = |line: &str, token: &Path| {
        let mut words = vec!["--server".to_owned(), format!("http://127.0.0.1:{}", desk.panel)];
        words.extend(["--token-file".to_owned(), token.display().to_string()]);
        words.extend(line.split(' ').map(str::to_owned));
        run(&words, line)
    };
    over("partner get", &desk.file("token")).ends(FINE).says("fabrikam.example");
    over("partner new litware.example", &desk.file("token")).ends(REFUSED);
    over("partner get", &desk.file("password")).ends(WRONG);
    let id = desk.asked("token get")["tokens"][0]["id"].as_str().unwrap().to_owned();
    desk.causeway(&format!("token revoke {id}")).ends(FINE);
    over("partner get", &desk.file("token")).ends(REFUSED);
    desk.causeway("account remove robot --force").ends(FINE);
    desk.gateway.kill().unwrap();
    desk.causeway("status").ends(UNREACHABLE).says("is the gateway running?");
}
