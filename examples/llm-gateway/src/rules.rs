//! What the namespace `llm.gateway` says, as one group: routes, prompts and tenants, always of one revision.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Everything. It is taken whole or not at all: what names something that is not there holds it back.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "Written")]
pub(crate) struct Rules {
    pub(crate) routes: BTreeMap<String, Route>,
    pub(crate) prompts: BTreeMap<String, Prompt>,
    pub(crate) tenants: BTreeMap<String, Tenant>,
}

/// `routes/<name>`: which model answers, with which prompt.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    /// A key of `llm.models`.
    pub(crate) model: String,
    pub(crate) prompt: String,
    /// Which version of the prompt: the one that bears this label.
    pub(crate) label: String,
}

/// `prompts/<name>/versions/<version>`, a text each that is never changed, and `prompts/<name>/labels`, which name a
/// version and move from one to the next.
#[derive(Debug, Deserialize)]
pub(crate) struct Prompt {
    versions: BTreeMap<String, String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// `tenants/<name>`: who may ask what, and how often.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tenant {
    pub(crate) requests_per_minute: u32,
    pub(crate) routes: Vec<String>,
}

impl Prompt {
    /// The version that bears a label, and its text.
    pub(crate) fn labelled(&self, label: &str) -> Option<(&str, &str)> {
        let version = self.labels.get(label)?;
        let (version, text) = self.versions.get_key_value(version)?;
        Some((version, text))
    }

    pub(crate) fn version(&self, version: &str) -> Option<(&str, &str)> {
        let (version, text) = self.versions.get_key_value(version)?;
        Some((version, text))
    }
}

/// The same before anybody has looked whether it fits together. Keys that are none of these are passed over: a later
/// gateway may know more.
#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    routes: BTreeMap<String, Route>,
    #[serde(default)]
    prompts: BTreeMap<String, Prompt>,
    #[serde(default)]
    tenants: BTreeMap<String, Tenant>,
}

impl TryFrom<Written> for Rules {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { routes, prompts, tenants } = written;
        let rules = Self { routes, prompts, tenants };
        rules.prompts.iter().try_for_each(labels_hold)?;
        rules.routes.iter().try_for_each(|(name, route)| rules.route_holds(name, route))?;
        rules.tenants.iter().try_for_each(|(name, tenant)| rules.tenant_holds(name, tenant))?;
        Ok(rules)
    }
}

fn labels_hold((name, prompt): (&String, &Prompt)) -> Result<(), String> {
    let lost = prompt.labels.iter().find(|(_, version)| !prompt.versions.contains_key(*version));
    lost.map_or(Ok(()), |(label, version)| {
        Err(format!("prompts/{name}/labels: {label} names version {version}, which is not there"))
    })
}

impl Rules {
    fn route_holds(&self, name: &str, route: &Route) -> Result<(), String> {
        let Route { prompt, label, .. } = route;
        let known = self.prompts.get(prompt).and_then(|prompt| prompt.labelled(label));
        let missing =
            || format!("routes/{name}: no version of prompts/{prompt} bears the label {label}");
        known.map(drop).ok_or_else(missing)
    }

    fn tenant_holds(&self, name: &str, tenant: &Tenant) -> Result<(), String> {
        let lost = tenant.routes.iter().find(|route| !self.routes.contains_key(*route));
        lost.map_or(Ok(()), |route| Err(format!("tenants/{name}: there is no routes/{route}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(labels: &str, route: &str, tenant: &str) -> Result<Rules, String> {
        let text = format!(
            r#"{{"prompts": {{"support": {{"versions": {{"1": "Be kind."}}, "labels": {labels}}}}},
                 "routes": {{"chat": {route}}}, "tenants": {{"acme": {tenant}}}}}"#
        );
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_names_something_that_is_not_there_is_refused_by_name() {
        let labels = r#"{"production": "1"}"#;
        let route = r#"{"model": "m", "prompt": "support", "label": "production"}"#;
        let tenant = r#"{"requests_per_minute": 1, "routes": ["chat"]}"#;
        assert!(rules(labels, route, tenant).is_ok());
        let other = |text: &str, from, to| text.replace(from, to);
        for (refused, says) in [
            (rules(&other(labels, "\"1\"", "\"2\""), route, tenant), "prompts/support/labels"),
            (rules(labels, &other(route, "production", "staging"), tenant), "routes/chat"),
            (rules(labels, &other(route, "support", "sales"), tenant), "routes/chat"),
            (rules(labels, route, &other(tenant, "chat", "batch")), "tenants/acme"),
        ] {
            let error = refused.unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
