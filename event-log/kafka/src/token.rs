//! The token that is shown to brokers in place of a password (SASL/OAUTHBEARER): a JWT in a file, which whoever
//! issues it renews. It is read again whenever librdkafka wants a fresh one, which is well before its end.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::client::OAuthToken;
use serde::Deserialize;

/// More than any token has; what comes behind is not read.
const MAX_BYTES: u64 = 64 * 1024;

/// A file with a token.
#[derive(Debug, Clone, Default)]
pub(crate) struct TokenFile(pub(crate) Option<PathBuf>);

/// What is read of a token. Who signed it is the brokers' to check.
#[derive(Deserialize)]
struct Claims {
    /// Seconds since the Unix epoch; a fraction is allowed.
    exp: f64,
    #[serde(default)]
    sub: String,
}

impl TokenFile {
    /// Reads the token that is there now.
    ///
    /// # Errors
    /// What is wrong with it, never the token.
    pub(crate) fn read(&self) -> Result<OAuthToken, String> {
        let Some(path) = &self.0 else {
            return Err(
                "the mechanism OAUTHBEARER needs kafka_token_file (--kafka-token-file)".into()
            );
        };
        let told = |error: String| format!("the token in {}: {error}", path.display());
        let token = text(path).map_err(told)?;
        let claims = claims(&token).map_err(told)?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a float beyond the range stops at its end"
        )]
        let lifetime_ms = (claims.exp * 1000.0) as i64;
        // Kafka takes the name from the token; librdkafka only wants one.
        let principal_name = if claims.sub.is_empty() { "unknown".into() } else { claims.sub };
        Ok(OAuthToken { token, principal_name, lifetime_ms })
    }
}

fn text(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
    read.map_err(|error| error.to_string())?;
    Ok(text.trim().to_owned())
}

fn claims(token: &str) -> Result<Claims, String> {
    let no_jwt = || "it is no JWT (three parts in base64url, joined by dots)".to_owned();
    let parts: Vec<&str> = token.split('.').collect();
    let [_, claims, _] = parts[..] else { return Err(no_jwt()) };
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).map_err(|_| no_jwt())?;
    let claims: Claims = serde_json::from_slice(&claims)
        .map_err(|_| "its claims are no JSON object with a number `exp`".to_owned())?;
    if claims.sub.contains('\0') {
        return Err("its `sub` is no name".to_owned());
    }
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(claims: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    fn read(text: &str) -> Result<OAuthToken, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        TokenFile(Some(file.path().to_owned())).read()
    }

    #[test]
    fn a_token_lives_as_long_as_it_says_and_is_read_again_from_its_file() {
        let token = format!("{}\n", jwt(r#"{"exp": 1700000000.5, "sub": "headwater"}"#));
        let read_back = read(&token).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(read_back.lifetime_ms, 1_700_000_000_500);
        assert_eq!(read_back.principal_name, "headwater");
        assert_eq!(read_back.token, token.trim());
    }

    #[test]
    fn what_is_no_token_is_told_without_repeating_it() {
        for wrong in ["", "hunter2", "a.hunter2.c", &jwt("hunter2"), &jwt(r#"{"sub": "hunter2"}"#)]
        {
            let told = read(wrong).err().unwrap_or_else(|| panic!("{wrong:?} is taken"));
            assert!(told.starts_with("the token in ") && !told.contains("hunter2"), "{told}");
        }
        let absent = TokenFile(Some("/nonexistent/token".into())).read().err().unwrap();
        assert!(absent.contains("/nonexistent/token"), "{absent}");
    }
}
