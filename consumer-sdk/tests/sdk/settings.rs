//! A service keeps its settings struct and its layers; Headwater is one layer more, and live.

#[cfg(feature = "figment")]
use figment::{Figment, providers::Serialized};
use headwater::testing::{self, Source};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::stream::soon;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Settings {
    workers: u32,
    name: String,
    pool: Pool,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Pool {
    max: u32,
    timeout_ms: u64,
}

fn defaults() -> Settings {
    Settings { workers: 2, name: "web".to_owned(), pool: Pool { max: 10, timeout_ms: 500 } }
}

#[cfg(feature = "figment")]
#[tokio::test]
async fn figment_takes_the_keys_below_a_prefix_at_one_revision_and_again_after_a_change() {
    let source = Source::new();
    source.commit([
        testing::put("web/workers", 8),
        testing::text("web/name", "shop"),
        testing::put("web/pool", json!({ "max": 50 })),
        testing::put("other/workers", 1),
    ]);
    let hw = source.client();
    let read = || {
        let layers = Figment::from(Serialized::defaults(defaults()));
        layers.merge(hw.view().settings("web/")).extract::<Settings>().map_err(Box::new)
    };
    let wanted =
        Settings { workers: 8, name: "shop".to_owned(), pool: Pool { max: 50, timeout_ms: 500 } };
    assert_eq!(read().unwrap(), wanted);
    let revision = source.put("web/pool/timeout_ms", 700);
    soon(hw.wait_for(revision)).await.unwrap();
    assert_eq!(read().unwrap().pool, Pool { max: 50, timeout_ms: 700 });
    let revision = source.put("web/workers", "many");
    soon(hw.wait_for(revision)).await.unwrap();
    let error = read().unwrap_err().to_string();
    assert!(error.contains("web/workers") && error.contains("Headwater"), "{error}");
}

#[cfg(feature = "figment")]
#[tokio::test]
async fn a_key_below_a_value_and_bytes_are_refused_by_name() {
    let source = Source::new();
    source.commit([testing::put("web/pool", 1), testing::put("web/pool/max", 2)]);
    let hw = source.client();
    let read = || Figment::from(hw.view().settings("web/")).extract::<Settings>().unwrap_err();
    assert!(read().to_string().contains("web/pool/max"), "{}", read());
    let revision = source
        .commit([testing::delete("web/pool/max"), testing::raw("web/logo", "image/png", [0xFF])]);
    soon(hw.wait_for(revision)).await.unwrap();
    assert!(read().to_string().contains("web/logo"), "{}", read());
}

#[cfg(feature = "config")]
#[tokio::test]
async fn config_takes_the_keys_below_a_prefix_over_its_other_sources() {
    let source = Source::new();
    source.commit([
        testing::put("web/workers", 8),
        testing::put("web/pool", json!({ "max": 50 })),
        testing::put("web/pool/timeout_ms", 700),
    ]);
    let hw = source.client();
    let read = async || {
        config::ConfigBuilder::<config::builder::AsyncState>::default()
            .set_default("name", "shop")
            .unwrap()
            .add_async_source(hw.view().settings("web/"))
            .build()
            .await?
            .try_deserialize::<Settings>()
    };
    let wanted =
        Settings { workers: 8, name: "shop".to_owned(), pool: Pool { max: 50, timeout_ms: 700 } };
    assert_eq!(read().await.unwrap(), wanted);
    let revision = source.commit([testing::raw("web/workers", "application/json", "{")]);
    soon(hw.wait_for(revision)).await.unwrap();
    assert!(read().await.unwrap_err().to_string().contains("web/workers"));
    let revision = source.commit([testing::put("web/workers", defaults().workers)]);
    soon(hw.wait_for(revision)).await.unwrap();
    assert_eq!(read().await.unwrap().workers, 2);
}
