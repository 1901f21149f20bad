//! Many keys as one nested settings struct, for services that read theirs by `figment` or `config`.

use crate::group::below;
use crate::view::View;

/// The keys below a prefix as nested settings, at one revision: a provider for [`figment`](::figment) (feature
/// `figment`), an asynchronous source for [`config`](::config) (feature `config`). Made by [`View::settings`].
///
/// ```
/// # #[cfg(feature = "figment")] {
/// use figment::Figment;
/// use figment::providers::Serialized;
/// use headwater::testing::{self, Source};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Settings { workers: u32, pool: Pool }
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Pool { max: u32, timeout_ms: u64 }
///
/// let source = Source::new();
/// source.commit([testing::put("web/pool/max", 50), testing::put("web/workers", 8)]);
/// let hw = source.client();
///
/// // The files and the environment that were there before stay; Headwater is one layer more.
/// let defaults = Settings { workers: 2, pool: Pool { max: 10, timeout_ms: 500 } };
/// let read = |view: headwater::View| -> Result<Settings, figment::Error> {
///     Figment::from(Serialized::defaults(&defaults)).merge(view.settings("web/")).extract()
/// };
/// let settings = read(hw.view()).unwrap();
/// assert_eq!((settings.workers, settings.pool.max, settings.pool.timeout_ms), (8, 50, 500));
/// # }
/// ```
///
/// ```
/// # #[cfg(feature = "config")] {
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use headwater::testing::{self, Source};
///
/// #[derive(serde::Deserialize)]
/// struct Settings { workers: u32, pool: Pool }
/// #[derive(serde::Deserialize)]
/// struct Pool { max: u32 }
///
/// let source = Source::new();
/// source.commit([testing::put("web/pool", serde_json::json!({ "max": 50 })), testing::put("web/workers", 8)]);
/// let hw = source.client();
///
/// let builder = config::ConfigBuilder::<config::builder::AsyncState>::default()
///     .set_default("workers", 2).unwrap()
///     .add_async_source(hw.view().settings("web/"));
/// let settings: Settings = builder.build().await.unwrap().try_deserialize().unwrap();
/// assert_eq!((settings.workers, settings.pool.max), (8, 50));
/// # }
/// # main();
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Settings {
    view: View,
    prefix: String,
}

impl View {
    /// The keys below `prefix` as nested settings: below `web/` (or `web`, the same), the key `web/pool/max` is `pool.max`. JSON values are
    /// taken as they are and texts as strings; the later namespace wins.
    pub fn settings(&self, prefix: impl Into<String>) -> Settings {
        Settings { view: self.clone(), prefix: below(&prefix.into()) }
    }
}

impl Settings {
    /// The revision they are of.
    pub fn revision(&self) -> u64 {
        self.view.revision()
    }
}

#[cfg(feature = "figment")]
mod for_figment {
    use figment::providers::Serialized;
    use figment::value::{Dict, Map};
    use figment::{Error, Metadata, Profile, Provider};

    use super::Settings;
    use crate::group::fields;

    impl Provider for Settings {
        fn metadata(&self) -> Metadata {
            let (prefix, revision) = (self.prefix.clone(), self.revision());
            Metadata::named("Headwater")
                .source(format!("revision {revision}"))
                .interpolater(move |_, keys| format!("{prefix}{}", keys.join("/")))
        }

        fn data(&self) -> Result<Map<Profile, Dict>, Error> {
            let tree =
                fields(&self.prefix, &self.view).map_err(|error| Error::from(error.to_string()))?;
            Serialized::from(tree, Profile::Default).data()
        }
    }
}

#[cfg(feature = "config")]
mod for_config {
    use async_trait::async_trait;
    use config::{AsyncSource, Config, ConfigError, Map, Source, Value};

    use super::Settings;
    use crate::group::fields;

    #[async_trait]
    impl AsyncSource for Settings {
        async fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
            let tree = fields(&self.prefix, &self.view)
                .map_err(|error| ConfigError::Foreign(Box::new(error)))?;
            Config::try_from(&tree)?.collect()
        }
    }
}
