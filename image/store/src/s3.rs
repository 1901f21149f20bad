//! What can be said of a bucket's server.

use std::fmt;

/// Settings of buckets that speak S3. What is not said here is taken from the usual `AWS_*` variables (credentials,
/// region, endpoint, roles of a container or a machine).
#[derive(Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Settings {
    /// The server, such as `http://127.0.0.1:7071`. Default: `AWS_ENDPOINT_URL`, else Amazon's of the region.
    pub endpoint: Option<String>,
    /// The region. Default: `AWS_REGION`, else `us-east-1`.
    pub region: Option<String>,
    /// Whether the bucket stands in the path (`host/bucket/…`) and not in the host's name. Default: on where an
    /// endpoint is given, as most servers of one's own want it, else off.
    pub path_style: Option<bool>,
    /// Whether `http://` may be spoken: secrets are signed, not sent, and yet what is read can be read by others.
    /// Default: `AWS_ALLOW_HTTP`, else off.
    pub allow_http: Option<bool>,
    /// Credentials, for programs that hold them themselves. No setting of a file: there they belong into the environment.
    #[serde(skip)]
    pub credentials: Option<(String, String)>,
}

impl fmt::Debug for S3Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Settings")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("path_style", &self.path_style)
            .field("allow_http", &self.allow_http)
            .field("credentials", &self.credentials.as_ref().map(|_| "…"))
            .finish()
    }
}
