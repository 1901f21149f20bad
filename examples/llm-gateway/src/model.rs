//! What the gateway must know of one model.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// One model, as it stands in the configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Model {
    /// Who serves it.
    provider: String,
    /// `chat`, `embedding`, `image_generation` ….
    mode: Option<String>,
    /// Where requests go, if not to the provider's own address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    context: Context,
    /// Dollars by unit. Kept as text: money is never rounded through a float.
    prices: Box<RawValue>,
    #[serde(default)]
    capabilities: Vec<String>,
}

/// How many tokens fit.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Context {
    input: Option<u64>,
    output: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_come_back_exactly_as_they_were_posted() {
        let posted = r#"{"provider":"p","mode":"chat","context":{"input":8,"output":null},"prices":{"in": 5e-06},"capabilities":["vision"]}"#;
        let model: Model = serde_json::from_str(posted).unwrap();
        assert_eq!(serde_json::to_string(&model).unwrap(), posted);
    }

    #[test]
    fn a_model_without_a_provider_is_refused() {
        assert!(serde_json::from_str::<Model>(r#"{"context":{},"prices":{}}"#).is_err());
    }
}
