//! A bucket that speaks S3.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use headwater_api::header;
use headwater_image::{ImageError, Manifest};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::{HttpClient, HttpConnector};
use object_store::path::Path as Key;
use object_store::{
    Attribute, Attributes, ClientConfigKey, ClientOptions, Error, GetOptions, GetRange,
    ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions, RetryConfig, UpdateVersion,
};

use crate::place::{Found, LATEST, Listed, MAX_LATEST_BYTES, Over};
use crate::reading::{From, Reading};
use crate::{S3Settings, StoreError};

/// How long an answer, or the next of its bytes, may take.
const SILENCE: Duration = Duration::from_secs(15);
/// How long the put of a small file may take, and how many bytes a second a larger one must get on with.
const PUT: Duration = Duration::from_secs(30);
const PUT_BYTES_A_SECOND: u64 = 256 * 1024;
/// The largest object that one put may have, in bytes. One put, because it alone can be made on a condition.
const MAX_PUT_BYTES: u64 = 5 << 30;
/// Tries of one call, and how long they may take together: whoever calls tries again later, too.
const RETRIES: usize = 2;
const RETRY_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    url: String,
    objects: Arc<AmazonS3>,
    prefix: Key,
}

/// Calls go over the same transport as all others of Headwater: one TLS, one provider of cryptography.
#[derive(Debug)]
struct Transport {
    is_https: bool,
}

impl HttpConnector for Transport {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = headwater_client::transport(self.is_https);
        let client =
            client.map_err(|error| Error::Generic { store: "S3", source: Box::new(error) })?;
        Ok(HttpClient::new(client))
    }
}

impl Bucket {
    /// `rest` is `BUCKET/PREFIX`.
    pub(crate) fn open(url: &str, rest: &str, settings: &S3Settings) -> Result<Self, String> {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err("it names no bucket".to_owned());
        }
        let prefix = Key::parse(prefix.trim_matches('/')).map_err(|error| error.to_string())?;
        let objects = build(bucket, settings).map_err(|error| error.to_string())?;
        Ok(Self { url: url.to_owned(), objects: Arc::new(objects), prefix })
    }

    fn key(&self, name: &str) -> Key {
        self.prefix.clone().join(name)
    }

    fn failed(&self, name: &str, error: &Error) -> StoreError {
        let url = self.url.clone();
        match error {
            Error::NotFound { .. } => StoreError::Missing { url, name: name.to_owned() },
            error => StoreError::Unreachable { url, cause: format!("{name}: {error}") },
        }
    }

    async fn within<T>(
        &self,
        name: &str,
        limit: Duration,
        call: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.failed(name, &error)),
            Err(_) => Err(late(&self.url, name, limit)),
        }
    }

    pub(crate) async fn latest(&self) -> Result<Option<Found>, StoreError> {
        let key = self.key(LATEST);
        let got = self.within(LATEST, SILENCE, self.objects.get(&key)).await;
        let got = match got {
            // A bucket that is not there is no bucket without images.
            Err(StoreError::Missing { .. }) => {
                let listed = self.objects.list_with_delimiter(Some(&self.prefix));
                return self.within(LATEST, SILENCE, listed).await.map(|_| None).map_err(|_| {
                    let cause = "there is no such bucket, or it may not be listed".to_owned();
                    StoreError::Unreachable { url: self.url.clone(), cause }
                });
            }
            got => got?,
        };
        let damaged = |detail: String| StoreError::Damaged {
            url: self.url.clone(),
            detail: format!("latest.json: {detail}"),
        };
        if got.meta.size > MAX_LATEST_BYTES {
            return Err(damaged(format!("it has {} bytes", got.meta.size)));
        }
        let version = got.meta.e_tag.clone();
        let version = version.ok_or_else(|| damaged("the server gives no ETag".to_owned()))?;
        let json = self.within(LATEST, 2 * SILENCE, got.bytes()).await?;
        let manifest = Manifest::parse(&json).map_err(|error| damaged(error.to_string()))?;
        Ok(Some(Found { manifest, version }))
    }

    pub(crate) async fn read(
        &self,
        name: &str,
        from: u64,
        until: Option<u64>,
    ) -> Result<Reading, StoreError> {
        let range = match until {
            Some(until) => Some(GetRange::Bounded(from..until)),
            None => (from > 0).then_some(GetRange::Offset(from)),
        };
        let (key, options) = (self.key(name), GetOptions { range, ..GetOptions::default() });
        let got = self.within(name, SILENCE, self.objects.get_opts(&key, options)).await?;
        let (url, name) = (self.url.clone(), name.to_owned());
        Ok(Reading { url, name, from: From::Bucket(Pieces(got.into_stream())) })
    }

    pub(crate) async fn put(
        &self,
        dir: &Path,
        manifest: &Manifest,
        over: Over,
    ) -> Result<bool, StoreError> {
        let (name, bytes) = (&manifest.name, manifest.bytes);
        if bytes > MAX_PUT_BYTES {
            let what = format!("{name} for a bucket");
            return Err(ImageError::TooLarge { what, actual: bytes, limit: MAX_PUT_BYTES }.into());
        }
        let path = dir.join(name);
        let read = tokio::fs::read(&path).await;
        let file = read.map_err(|source| ImageError::Io { action: "read", path, source })?;
        let mode = match over {
            Over::Nothing => PutMode::Create,
            Over::Damaged => PutMode::Overwrite,
        };
        let attributes = attributes(header::IMAGE, "public, max-age=31536000, immutable");
        let limit = PUT + Duration::from_secs(bytes / PUT_BYTES_A_SECOND);
        self.conditional(name, file.into(), mode, attributes, limit).await
    }

    pub(crate) async fn swap(
        &self,
        manifest: &Manifest,
        version: Option<&str>,
    ) -> Result<bool, StoreError> {
        let json = serde_json::to_vec(manifest).map_err(ImageError::source)?;
        let mode = match version {
            None => PutMode::Create,
            Some(tag) => {
                PutMode::Update(UpdateVersion { e_tag: Some(tag.to_owned()), version: None })
            }
        };
        let attributes = attributes("application/json", "no-cache");
        self.conditional(LATEST, json.into(), mode, attributes, PUT).await
    }

    /// Puts an object; false when the condition does not hold.
    async fn conditional(
        &self,
        name: &str,
        bytes: Bytes,
        mode: PutMode,
        attributes: Attributes,
        limit: Duration,
    ) -> Result<bool, StoreError> {
        let options = PutOptions { mode, attributes, ..PutOptions::default() };
        let (key, payload) = (self.key(name), bytes.into());
        let put = self.objects.put_opts(&key, payload, options);
        match tokio::time::timeout(limit, put).await {
            Ok(Ok(_)) => Ok(true),
            Ok(Err(Error::AlreadyExists { .. } | Error::Precondition { .. })) => Ok(false),
            Ok(Err(error)) => Err(self.failed(name, &error)),
            Err(_) => Err(late(&self.url, name, limit)),
        }
    }

    pub(crate) async fn list(&self) -> Result<Vec<Listed>, StoreError> {
        let listed = self.objects.list_with_delimiter(Some(&self.prefix));
        let listed = self.within("the list", 4 * SILENCE, listed).await?;
        let objects = listed.objects.into_iter();
        Ok(objects
            .filter_map(|object| {
                let name = object.location.filename()?.to_owned();
                Some(Listed { name, at_ms: object.last_modified.timestamp_millis() })
            })
            .collect())
    }

    pub(crate) async fn remove(&self, name: &str) -> Result<(), StoreError> {
        let key = self.key(name);
        match self.within(name, SILENCE, self.objects.delete(&key)).await {
            Err(StoreError::Missing { .. }) => Ok(()),
            removed => removed,
        }
    }
}

fn late(url: &str, name: &str, limit: Duration) -> StoreError {
    let cause = format!("{name}: no answer within {limit:?}");
    StoreError::Unreachable { url: url.to_owned(), cause }
}

fn attributes(content_type: &'static str, cache: &'static str) -> Attributes {
    let mut attributes = Attributes::new();
    attributes.insert(Attribute::ContentType, content_type.into());
    attributes.insert(Attribute::CacheControl, cache.into());
    attributes
}

/// What the environment says, and over it the settings.
fn build(bucket: &str, settings: &S3Settings) -> object_store::Result<AmazonS3> {
    let retry = RetryConfig {
        max_retries: RETRIES,
        retry_timeout: RETRY_TIMEOUT,
        ..RetryConfig::default()
    };
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_retry(retry)
        .with_disable_bulk_delete(true);
    let said = |builder: &AmazonS3Builder, key| builder.get_config_value(&key);
    if let Some(region) = &settings.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &settings.endpoint {
        builder =
            builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint.trim_end_matches('/'));
    }
    let endpoint = said(&builder, AmazonS3ConfigKey::S3Endpoint)
        .or_else(|| said(&builder, AmazonS3ConfigKey::Endpoint));
    let hosted = said(&builder, AmazonS3ConfigKey::VirtualHostedStyleRequest);
    match settings.path_style {
        Some(path_style) => builder = builder.with_virtual_hosted_style_request(!path_style),
        None if hosted.is_none() => {
            builder = builder.with_virtual_hosted_style_request(endpoint.is_none());
        }
        None => {}
    }
    if let Some(allow_http) = settings.allow_http {
        builder = builder.with_allow_http(allow_http);
    }
    if let Some((id, secret)) = &settings.credentials {
        builder = builder.with_access_key_id(id).with_secret_access_key(secret);
    }
    let is_https = endpoint.is_none_or(|endpoint| !endpoint.starts_with("http://"));
    let allowed = said(&builder, AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp));
    if !is_https && allowed.as_deref() != Some("true") {
        // The client's own check is one that this transport does not go through.
        let why =
            "an endpoint of http:// sends images in the clear: allow that by s3.allow_http = true";
        return Err(Error::Generic { store: "S3", source: why.into() });
    }
    builder.with_http_connector(Transport { is_https }).build()
}

/// An object's bytes as they arrive.
pub(crate) struct Pieces(BoxStream<'static, object_store::Result<Bytes>>);

impl Pieces {
    pub(crate) async fn next(
        &mut self,
        url: &str,
        name: &str,
    ) -> Result<Option<Bytes>, StoreError> {
        match tokio::time::timeout(SILENCE, self.0.next()).await {
            Ok(Some(Ok(piece))) => Ok(Some(piece)),
            Ok(None) => Ok(None),
            Ok(Some(Err(error))) => Err(StoreError::Unreachable {
                url: url.to_owned(),
                cause: format!("{name}: {error}"),
            }),
            Err(_) => Err(late(url, name, SILENCE)),
        }
    }
}
