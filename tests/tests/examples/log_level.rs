//! A log filter that is turned up for one module and a while, by one command.

use std::time::{Duration, Instant};

use headwater_tests::example::Example;

use crate::server::Server;

const NAMESPACE: &str = "shop.prod";
const KEY: &str = "log/filter";
const STOCK: &str = "log_level::stock: one piece less";
const ORDERS: &str = "log_level::orders: an order is taken";
/// Much longer than a turn of the service.
const A_WHILE: Duration = Duration::from_millis(500);

fn lines(program: &Example, of: &str) -> usize {
    program.log().matches(of).count()
}

/// Whether it logs these lines now.
fn logs(program: &Example, of: &str) -> bool {
    let before = lines(program, of);
    let deadline = Instant::now() + A_WHILE;
    while Instant::now() < deadline {
        if lines(program, of) > before {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

#[test]
fn one_command_turns_one_module_up_for_a_while_and_the_service_turns_it_down_again() {
    let server = Server::start();
    let url = server.url();
    let mut service = Example::start("log-level", &["--relay", &url]);
    service.wait_for("taking orders");
    assert!(!logs(&service, STOCK), "{}", service.log());

    server.run(&[
        "put",
        NAMESPACE,
        KEY,
        r#"{"filter": "info,log_level::stock=debug", "for": "3s"}"#,
    ]);
    service.wait_for(STOCK);
    service.wait_for(r#"the log filter changed filter="info" "#);
    assert!(!logs(&service, STOCK), "{}", service.log());
    assert_eq!(lines(&service, ORDERS), 0, "the other module was as quiet as ever");

    // Nor does one that starts now begin again: the while counts from the commit.
    let mut later = Example::start("log-level", &["--relay", &url]);
    later.wait_for("taking orders");
    assert!(!logs(&later, STOCK), "{}", later.log());

    // A filter that is none is refused by both, and their logs say so.
    server.run(&["put", NAMESPACE, KEY, r#"{"filter": "info,log_level=loud", "for": "3s"}"#]);
    for service in [&mut service, &mut later] {
        service.wait_for("a bad value was refused");
        assert!(!logs(service, STOCK), "{}", service.log());
    }

    // Early, too: the key goes, and so does what it asked for.
    server.run(&["put", NAMESPACE, KEY, r#"{"filter": "info,log_level=debug", "for": "10m"}"#]);
    for service in [&mut service, &mut later] {
        service.wait_for(ORDERS);
    }
    server.run(&["delete", NAMESPACE, KEY]);
    for mut service in [service, later] {
        let deadline = Instant::now() + Duration::from_secs(30);
        while logs(&service, ORDERS) {
            assert!(Instant::now() < deadline, "{}", service.log());
        }
        assert_eq!(service.terminate(), 0, "{}", service.log());
    }
}

#[test]
fn with_no_server_the_service_runs_with_the_filter_it_was_given() {
    let flags = ["--relay", "http://127.0.0.1:1", "--log", "info,log_level::orders=debug"];
    let mut service = Example::start("log-level", &flags);
    service.wait_for(ORDERS);
    assert_eq!(lines(&service, STOCK), 0);
    assert_eq!(service.terminate(), 0, "{}", service.log());
}
