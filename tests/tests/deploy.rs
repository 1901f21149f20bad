//! What is deployed beside the binary names only what there is: metrics, alerts, flags, paths.

use std::collections::BTreeSet;
use std::time::Duration;

use headwater_tests::broker::free_port;
use headwater_tests::deployed::{table, text, texts, yaml, yamls};
use headwater_tests::http::{Ask, Connection};
use headwater_tests::process::Headwater;
use headwater_tests::secure;
use headwater_tests::stand::bounded;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

/// The metrics that a text of PromQL names.
fn metrics(promql: &str) -> BTreeSet<String> {
    let words = promql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("headwater_"));
    let name = |word: &str| {
        // What Prometheus' text makes of a histogram.
        let ends = ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end));
        ends.unwrap_or(word).to_owned()
    };
    ours.map(name).collect()
}

/// Every expression in a document, wherever it stands.
fn expressions(of: &Value, into: &mut Vec<String>) {
    match of {
        Value::Object(map) => {
            for (name, value) in map {
                match value.as_str() {
                    Some(text) if ["expr", "query", "definition"].contains(&name.as_str()) => {
                        into.push(text.to_owned());
                    }
                    _ => expressions(value, into),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| expressions(value, into)),
        _ => {}
    }
}

#[test]
fn every_metric_of_the_alerts_and_the_dashboard_is_one_that_there_is() {
    let page = text("docs/metrics.md");
    let dashboard =
        serde_json::from_str(&text("deploy/grafana/dashboards/headwater.json")).unwrap();
    let mut all = Vec::new();
    for document in [yaml("deploy/prometheus/alerts.yml"), dashboard] {
        expressions(&document, &mut all);
    }
    let named: BTreeSet<_> = all.iter().flat_map(|text| metrics(text)).collect();
    assert!(named.len() > 20, "{named:?}");
    for metric in named {
        assert!(page.contains(&format!("| `{metric}` |")), "docs/metrics.md has no {metric}");
    }
}

fn alerts() -> Vec<Value> {
    let groups = yaml("deploy/prometheus/alerts.yml");
    let groups = groups["groups"].as_array().unwrap().clone();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

#[test]
fn every_alert_is_fired_by_a_test_is_silent_in_another_and_has_its_cure() {
    let tests = yaml("deploy/prometheus/alerts_test.yml");
    let operations = text("docs/operations.md");
    let tried: Vec<_> = tests["tests"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|test| test["alert_rule_test"].as_array().unwrap())
        .collect();
    let expected = |alert: &str, fired: bool| {
        tried.iter().any(|test| {
            test["alertname"] == alert && test["exp_alerts"].as_array().unwrap().is_empty() != fired
        })
    };
    let alerts = alerts();
    assert!(alerts.len() >= 15);
    for alert in alerts {
        let name = alert["alert"].as_str().unwrap();
        assert!(expected(name, true), "{name} is fired by no test");
        assert!(expected(name, false), "{name} is kept silent by no test");
        assert!(
            operations.contains(&format!("### {name}\n")),
            "docs/operations.md has no cure for {name}"
        );
        assert!(["critical", "warning"].contains(&alert["labels"]["severity"].as_str().unwrap()));
    }
}

#[test]
fn every_kind_of_alarm_has_its_cause_and_cure() {
    let operations = text("docs/operations.md");
    let source = text("replica/src/status.rs");
    let kinds = source.split("pub enum AlarmKind {").nth(1).unwrap().split("\n}").next().unwrap();
    let kinds: Vec<_> = kinds
        .lines()
        .filter_map(|line| line.trim().strip_suffix(','))
        .filter(|line| !line.starts_with("//"))
        .collect();
    assert!(kinds.len() >= 5, "{kinds:?}");
    for kind in kinds {
        let name: String = kind
            .chars()
            .enumerate()
            .flat_map(|(index, c)| {
                let word = (c.is_ascii_uppercase() && index > 0).then_some('_');
                word.into_iter().chain([c.to_ascii_lowercase()])
            })
            .collect();
        assert!(
            operations.contains(&format!("### `{name}`\n")),
            "docs/operations.md has nothing on {name}"
        );
    }
}

#[test]
fn prometheus_scrapes_the_servers_of_the_compose_file() {
    let config = yaml("deploy/prometheus/prometheus.yml");
    let compose = yaml("docker-compose.yml");
    let targets = config["scrape_configs"][0]["static_configs"].as_array().unwrap();
    let targets: Vec<_> = targets.iter().flat_map(|one| texts(&one["targets"])).collect();
    assert_eq!(targets.len(), 4);
    for target in targets {
        let name = target.strip_suffix(":7070").unwrap();
        assert!(compose["services"][name].is_object(), "{name} is no service");
    }
}

/// A pod of a workload: its one container.
fn container(workload: &Value) -> &Value {
    &workload["spec"]["template"]["spec"]["containers"][0]
}

/// What the manifests' servers are told, on this machine: the flags and variables of one container.
fn told(workload: &Value, folder: &std::path::Path) -> (Vec<String>, Vec<(String, String)>) {
    let settings = yamls("deploy/kubernetes/settings.yaml");
    let of_kind = |kind: &str| settings.iter().find(|it| it["kind"] == kind).unwrap();
    for (name, text) in table(&of_kind("Secret")["stringData"]) {
        if name != "ca.pem" {
            std::fs::write(folder.join(name), text).unwrap();
        }
    }
    secure::certificates(folder);
    let here = |text: &str| text.replace("/etc/headwater/kafka", &folder.display().to_string());
    let flags = texts(&container(workload)["args"]).iter().map(|text| here(text)).collect();
    let mut variables = table(&of_kind("ConfigMap")["data"]);
    variables.insert("HEADWATER_KAFKA".into(), format!("127.0.0.1:{}", free_port()));
    variables.insert("HEADWATER_DATA".into(), folder.join("data").display().to_string());
    (flags, variables.into_iter().map(|(name, value)| (name, here(&value))).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_takes_every_flag_and_variable_of_the_manifests_and_has_the_paths_of_the_probes() {
    let claim = async {
        for file in ["publisher", "snapshotter"] {
            let manifests = yamls(&format!("deploy/kubernetes/{file}.yaml"));
            let workload = &manifests[0];
            let folder = tempfile::tempdir().unwrap();
            let (flags, variables) = told(workload, folder.path());
            let flags: Vec<_> = flags.iter().map(String::as_str).collect();
            let variables: Vec<_> =
                variables.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            // No broker is there: it waits for one, which it would not with a flag or a property that is none.
            let mut server = Headwater::start_unready(&flags, &variables);
            let container = container(workload);
            for (probe, status) in
                [("livenessProbe", 200), ("startupProbe", 200), ("readinessProbe", 503)]
            {
                let path = container[probe]["httpGet"]["path"].as_str().unwrap();
                assert_eq!(answers(&mut server, path).await, status, "{probe}: {}", server.log());
            }
            assert_eq!(server.exit(), None, "{}", server.log());
        }
    };
    bounded(claim).await;
}

async fn answers(server: &mut Headwater, path: &str) -> u16 {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Ok(mut there) = Connection::open(server.host()).await
            && let Ok(answer) = there.send(&Ask::get(path)).await
        {
            return answer.status;
        }
        assert_eq!(server.exit(), None, "{}", server.log());
        assert!(tokio::time::Instant::now() < deadline, "{}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn every_workload_has_probes_a_budget_and_no_rights() {
    for file in ["publisher", "snapshotter"] {
        let manifests = yamls(&format!("deploy/kubernetes/{file}.yaml"));
        let kinds: Vec<_> = manifests.iter().map(|it| it["kind"].as_str().unwrap()).collect();
        let wanted = if file == "publisher" { "Deployment" } else { "StatefulSet" };
        assert_eq!(kinds, [wanted, "Service", "PodDisruptionBudget"]);
        let pod = &manifests[0]["spec"]["template"];
        let labels = &pod["metadata"]["labels"];
        for selector in ["/spec/selector/matchLabels", "/metadata/labels"] {
            assert_eq!(manifests[0].pointer(selector), Some(labels));
        }
        assert_eq!(&manifests[1]["spec"]["selector"], labels);
        assert_eq!(&manifests[2]["spec"]["selector"]["matchLabels"], labels);
        assert_eq!(pod["spec"]["securityContext"]["runAsUser"], 10001, "as the image has it");
        assert_eq!(container(&manifests[0])["securityContext"]["readOnlyRootFilesystem"], true);
    }
}
