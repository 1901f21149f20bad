//! The LLM gateway of the examples, as a program: live answers, no restart, no server needed to go on.

use headwater_tests::example::Service;
use headwater_tests::http::{Answer, Ask};
use serde_json::{Value, json};

use crate::server::{Server, data};

const MODELS: &str = "llm.models";
const RULES: &str = "llm.gateway";

fn gateway(server: &Server) -> Service {
    Service::start("llm-gateway", &["--relay", &server.url(), "--cache", &server.cache()])
}

fn model(name: &str) -> Ask {
    Ask::get(format!("/models/{name}"))
}

fn priced(price: f64) -> Value {
    let context = json!({ "input": 8, "output": null });
    json!({ "provider": "p", "mode": "chat", "context": context, "prices": { "in": price } })
}

fn ask_as(tenant: &str, route: &str) -> Ask {
    Ask::new("POST", format!("/ask/{route}")).header("Tenant", tenant)
}

/// Models and rules as the repository has them, and a gateway.
fn on_real_data() -> (Server, Service) {
    let server = Server::start();
    server.run(&["import", MODELS, &data("models.json")]);
    server.run(&["import", RULES, &data("rules.json")]);
    let gateway = gateway(&server);
    (server, gateway)
}

#[tokio::test]
async fn a_price_changes_in_a_running_gateway_and_stays_when_the_server_dies() {
    let mut server = Server::start();
    server.put(MODELS, "openai/gpt-4o", &priced(2.5e-06)).await;
    let gateway = gateway(&server);
    // A name may hold a slash, as it stands or encoded.
    for name in ["openai/gpt-4o", "openai%2Fgpt-4o"] {
        let answer: Value = gateway.ask(model(name)).await.is(200).json();
        let price = &answer["model"]["prices"]["in"];
        assert_eq!((&answer["revision"], price), (&1.into(), &2.5e-06.into()));
    }
    gateway.ask(model("no/such")).await.is(404);
    server.put(MODELS, "openai/gpt-4o", &priced(5e-06)).await;
    server.put(MODELS, "new", &priced(1.0)).await;
    let changed = |answer: &Answer| {
        let answer: Value = answer.json();
        answer["revision"] == 2 && answer["model"]["prices"]["in"] == 5e-06
    };
    gateway.until(model("openai/gpt-4o"), changed).await;
    gateway.until(model("new"), |answer| answer.status == 200).await;
    server.process.kill9();
    assert_eq!(gateway.ask(model("openai/gpt-4o")).await.json::<Value>()["revision"], 2);
}

#[tokio::test]
async fn a_deleted_model_is_not_found_and_a_bad_one_keeps_its_last_good_facts() {
    let server = Server::start();
    for name in ["kept", "deleted"] {
        server.put(MODELS, name, &priced(1.0)).await;
    }
    let gateway = gateway(&server);
    for name in ["kept", "deleted"] {
        gateway.ask(model(name)).await.is(200);
    }
    server.put(MODELS, "kept", &json!("not a model")).await;
    server.commit(&[(MODELS, "deleted", None)]).await;
    gateway.until(model("deleted"), |answer| answer.status == 404).await;
    assert_eq!(gateway.ask(model("kept")).await.is(200).json::<Value>()["revision"], 1);
}

#[tokio::test]
async fn a_route_is_asked_with_its_model_and_the_prompt_that_bears_its_label_and_labels_move() {
    let (server, gateway) = on_real_data();
    let asked: Value = gateway.ask(ask_as("acme", "support")).await.is(200).json();
    assert_eq!((&asked["model"], &asked["prompt"]["version"]), (&"gpt-4o".into(), &"2".into()));
    assert_eq!(asked["facts"]["provider"], "openai");

    // The label moves, and the route goes to another model, in one commit: every answer has both or neither.
    let labels = json!({ "production": "3", "staging": "3" });
    let route = json!({ "model": "gpt-4o-mini", "prompt": "support", "label": "production" });
    let revision = server
        .commit(&[
            (RULES, "prompts/support/labels", Some(labels)),
            (RULES, "routes/support", Some(route)),
        ])
        .await;
    let whole = |answer: &Answer| {
        let asked: Value = answer.json();
        let new = asked["model"] == "gpt-4o-mini";
        assert_eq!(asked["prompt"]["version"], if new { "3" } else { "2" });
        new && asked["revision"].as_u64() == Some(revision)
    };
    gateway.until(ask_as("in-house", "support"), whole).await;

    gateway.ask(ask_as("acme", "draft")).await.is(404);
    gateway.ask(ask_as("nobody", "support")).await.is(403);
    gateway.ask(Ask::new("POST", "/ask/support")).await.is(403);
}

#[tokio::test]
async fn a_prompt_of_200_kib_changes_live_and_is_answered_byte_for_byte() {
    let (server, gateway) = on_real_data();
    let long = |letter: &str| format!("{}\n{}", letter.repeat(200 * 1024 - 4), "ö\t");
    for (version, letter) in [("4", "a"), ("5", "b")] {
        let text = long(letter);
        assert_eq!(text.len(), 200 * 1024);
        let key = format!("prompts/support/versions/{version}");
        // A version and the label that names it, in one commit.
        let labels = json!({ "production": version, "staging": "3" });
        let changes = [
            (RULES, key.as_str(), Some(json!(text))),
            (RULES, "prompts/support/labels", Some(labels)),
        ];
        let revision = server.commit(&changes).await;
        let reached = |answer: &Answer| answer.header("gateway-revision") == revision.to_string();
        let answer = gateway.until(Ask::get("/prompts/support"), reached).await.is(200);
        assert_eq!(answer.header("prompt-version"), version);
        assert!(answer.text() == text, "the text is another one");
    }
    // As a text of its own media type, too.
    let put = Ask::put(format!("/v1/config/{RULES}/prompts/support/versions/6"), long("c"));
    let put = put.header("Content-Type", "text/plain");
    headwater_tests::http::ask(server.process.host(), &put).await.is(201);
    let sixth = || Ask::get("/prompts/support?version=6");
    let answer = gateway.until(sixth(), |answer| answer.status == 200).await;
    assert!(answer.text() == long("c"), "the text is another one");
    gateway.ask(Ask::get("/prompts/support?label=staging")).await.is(200);
    gateway.ask(Ask::get("/prompts/support?version=7")).await.is(404);
}

#[tokio::test]
async fn a_tenants_limit_is_its_own_and_a_higher_one_counts_from_the_next_request() {
    let (server, gateway) = on_real_data();
    let acme = |limit: u32| json!({ "requests_per_minute": limit, "routes": ["support"] });
    let revision = server.put(RULES, "tenants/acme", &acme(2)).await;
    let in_house = || ask_as("in-house", "support");
    let reached = |answer: &Answer| answer.json::<Value>()["revision"].as_u64() == Some(revision);
    gateway.until(in_house(), reached).await;
    for _ in 0..2 {
        gateway.ask(ask_as("acme", "support")).await.is(200);
    }
    let refused = gateway.ask(ask_as("acme", "support")).await.is(429);
    let wait: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((1..=61).contains(&wait), "{wait}");
    gateway.ask(in_house()).await.is(200);

    server.put(RULES, "tenants/acme", &acme(1_000)).await;
    gateway.until(ask_as("acme", "support"), |answer| answer.status == 200).await;
}

#[tokio::test]
async fn rules_that_do_not_fit_together_are_held_back_whole_and_told() {
    let (server, gateway) = on_real_data();
    let health = || Ask::get("/healthz");
    let labels = json!({ "production": "9", "staging": "3" });
    let tenant = json!({ "requests_per_minute": 1, "routes": ["support"] });
    server
        .commit(&[
            (RULES, "prompts/support/labels", Some(labels)),
            (RULES, "tenants/new", Some(tenant)),
        ])
        .await;
    let told = |answer: &Answer| answer.text().contains("names version 9");
    gateway.until(health(), told).await;
    gateway.ask(ask_as("new", "support")).await.is(403);
    let asked: Value = gateway.ask(ask_as("acme", "support")).await.is(200).json();
    assert_eq!(asked["prompt"]["version"], "2");

    let labels = json!({ "production": "1", "staging": "3" });
    server.put(RULES, "prompts/support/labels", &labels).await;
    gateway.until(health(), |answer| answer.json::<Value>()["rejected"].is_null()).await;
    let asked: Value = gateway.ask(ask_as("new", "support")).await.is(200).json();
    assert_eq!(asked["prompt"]["version"], "1");
}
