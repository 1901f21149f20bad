//! What to try next, in a few lines.

use std::io::Write;
use std::net::SocketAddr;

use crate::serve::Role;

/// Tells a person at a terminal where the server is and what to do with it.
pub(super) fn greet(at: SocketAddr, role: Role, log: &str) {
    // Nobody reads it: that harms nothing.
    let _ = std::io::stdout().write_all(greeting(at, role, log).as_bytes());
}

fn greeting(at: SocketAddr, role: Role, log: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut lines = vec![format!(
        "Headwater {version} ({}) listens on http://{at}; its log is {log}",
        role.name()
    )];
    if role != Role::Snapshotter {
        lines.extend([
            "Try, in another terminal:".to_owned(),
            format!("  headwater watch demo --server http://{at}"),
            format!("  curl -X PUT http://{at}/v1/config/demo/limit -H 'content-type: application/json' --data 42"),
            format!("  curl http://{at}/v1/config/demo/limit"),
        ]);
    }
    lines.push("Ctrl-C ends it; what was acknowledged stays.\n".to_owned());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_names_the_address_in_every_command() {
        let text = greeting("127.0.0.1:9".parse().unwrap(), Role::Serve, "./data/log");
        assert_eq!(text.matches("http://127.0.0.1:9").count(), 4);
        assert!(!greeting("127.0.0.1:9".parse().unwrap(), Role::Snapshotter, "x").contains("PUT"));
    }
}
