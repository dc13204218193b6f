//! What operators see: the record of a failure on both services, and a probe.

use causeway_tests::peer::{http, until};

use crate::support::{FABRIKAM, LOCAL, WINGTIP, World};

#[tokio::test]
async fn a_failure_is_shown_by_both_services_with_its_transcript() {
    let world = World::start("verdicts").await;
    let mut stream = causeway_tests::peer::xmpp::Stream::connect(None, world.edge_address()).await.unwrap();
    stream.open(FABRIKAM, LOCAL).await.unwrap();
    drop(stream);
    for service in [world.road.plan.edge_http, world.road.plan.gateway_http] {
        let shown = until("the verdict", async || {
            let (status, text) = http::get(service, "/verdicts?partner=fabrikam.example").await.ok()?;
            (status == 200 && text.contains("hung up")).then_some(text)
        })
        .await
        .unwrap();
        for expected in [
            "\"rung\":\"stream\"",
            "\"side\":\"theirs\"",
            "\"local\":\"contoso.example\"",
            "received a stream header from=fabrikam.example",
            "\"count\":1",
        ] {
            assert!(shown.contains(expected), "{expected}: {shown}");
        }
        let (_, none) = http::get(service, "/verdicts?partner=wingtip.example").await.unwrap();
        assert_eq!(none, "{\"verdicts\":[]}\n");
        let (_, metrics) = http::get(service, "/metrics").await.unwrap();
        assert!(metrics.contains("partner=\"fabrikam.example\""), "{metrics}");
    }
}

#[tokio::test]
async fn a_gateway_has_an_edge_probe_a_partner() {
    let world = World::start("probe").await;
    let gateway = world.road.plan.gateway_http;
    assert_eq!(http::get(gateway, "/probe?partner=fabrikam.example").await.unwrap().0, 404);
    let (status, report) = http::post(gateway, "/probe?partner=fabrikam.example").await.unwrap();
    assert_eq!(status, 200, "{report}");
    for expected in
        ["\"reachable\":true", "\"complete\":true", "\"rung\":\"sasl\",\"state\":\"ok\"", "xmpp.fabrikam.example"]
    {
        assert!(report.contains(expected), "{expected}: {report}");
    }
    assert_eq!(http::get(gateway, "/probe?partner=fabrikam.example").await.unwrap(), (200, report));

    // Wingtip does not ask back, so our key is believed without the return leg.
    let (_, report) = http::post(gateway, &format!("/probe?partner={WINGTIP}")).await.unwrap();
    assert!(report.contains("\"rung\":\"dialback\",\"state\":\"ok\""), "{report}");
    assert!(report.contains("did not ask this edge"), "{report}");
    let (_, report) = http::post(gateway, "/probe?partner=stranger.example").await.unwrap();
    assert!(report.contains("\"refused\":\"the domain is not one of a partner\""), "{report}");
    assert_eq!(http::post(gateway, "/probe").await.unwrap().0, 400);
    world.good_message_passes().await;
}
