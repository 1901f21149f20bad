//! What to try next, in a few lines.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::serve::Role;

/// Tells a person at a terminal where the server is and what to do with it.
pub(super) fn greet(at: SocketAddr, role: Role, log: &str) {
    // Nobody reads it: that harms nothing.
    let program = std::env::args().next().unwrap_or_else(|| "headwater".to_owned());
    let _ = std::io::stdout().write_all(greeting(&program, at, role, log).as_bytes());
}

fn greeting(program: &str, at: SocketAddr, role: Role, log: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut lines = vec![format!(
        "Headwater {version} ({}) listens on http://{at}; its log is {log}",
        role.name()
    )];
    if !at.ip().is_loopback() {
        lines.push("Whoever reaches this address can read and write: put a proxy that knows your users in front of it.".to_owned());
    }
    let at = reachable(at);
    if role != Role::Snapshotter {
        lines.extend([
            "Try, in another terminal:".to_owned(),
            format!("  {program} watch demo --server http://{at}"),
            format!("  curl -X PUT http://{at}/v1/config/demo/limit -H 'content-type: application/json' --data 42"),
            format!("  curl http://{at}/v1/config/demo/limit"),
        ]);
    }
    lines.push("Ctrl-C ends it; what was acknowledged stays.\n".to_owned());
    lines.join("\n")
}

/// An address to type: "every address of this machine" is none.
fn reachable(at: SocketAddr) -> SocketAddr {
    match at.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, at.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, at.port()).into(),
        _ => at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_names_the_address_in_every_command() {
        let text =
            |at: &str, role| greeting("target/release/headwater", at.parse().unwrap(), role, "log");
        let local = text("127.0.0.1:9", Role::Serve);
        assert_eq!(local.matches("http://127.0.0.1:9").count(), 4);
        assert!(local.contains("  target/release/headwater watch demo"), "{local}");
        assert!(!text("127.0.0.1:9", Role::Snapshotter).contains("PUT"));
    }

    #[test]
    fn a_server_that_others_reach_says_so_and_names_an_address_that_can_be_typed() {
        let text = |at: &str| greeting("headwater", at.parse().unwrap(), Role::Serve, "log");
        assert!(text("0.0.0.0:9").contains("Whoever reaches this address"));
        assert!(text("0.0.0.0:9").contains("curl http://127.0.0.1:9/"));
        assert!(!text("[::1]:9").contains("Whoever reaches"));
    }
}
