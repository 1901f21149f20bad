//! What a tree of relays carries, on paper and simulated: a million instances that bootstrap and follow.
//!
//! The formulae are those of `docs/scale.md`; the simulation knows none of them. Beside each figure of the one stands
//! the other's.

mod plan;
mod storm;
mod tree;

use clap::Parser;
use comfy_table::{Cell, CellAlignment, Table};

use crate::plan::{Plan, Units};

/// Simulates a tree of relays and compares it with the formulae.
#[derive(Debug, Parser)]
struct Args {
    #[command(flatten)]
    plan: Plan,
    #[command(flatten)]
    units: Units,
    /// How many commits are simulated.
    #[arg(long, default_value_t = 50)]
    commits: usize,
    /// The seed of the simulation: the same one gives the same figures.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() {
    let Args { plan, units, commits, seed } = Args::parse();
    println!("{}", table(&plan, &units, commits, seed));
}

fn table(plan: &Plan, units: &Units, commits: usize, seed: u64) -> Table {
    let spread = tree::spread(plan, units, commits, seed);
    let storm = storm::storm(plan, units, seed);
    let rows = [
        ("relays", "", plan.relays() as f64, spread.relays as f64),
        ("levels of relays", "", plan.fans().len() as f64, spread.levels as f64),
        ("commit → applied, mean of all instances", "ms", plan.mean_ms(units), spread.mean_ms),
        ("commit → applied, the last instance", "ms", plan.last_ms(units), spread.last_ms),
        ("a leaf relay sends, following", "MB/s", plan.leaf_mb_s(units), spread.leaf_mb_s),
        ("the root sends, following", "MB/s", plan.root_mb_s(units), spread.root_mb_s),
        ("a leaf relay's core, busy", "%", plan.leaf_busy(units), spread.leaf_busy),
        ("all start at once: half are up", "s", plan.half_up_s(units), storm.half_up_s),
        ("all start at once: the last is up", "s", plan.all_up_s(units), storm.all_up_s),
    ];
    let mut table = Table::new();
    table.set_header(["figure", "formula", "simulated", "unit", "difference"]);
    for (name, unit, formula, simulated) in rows {
        let number =
            |value: f64| Cell::new(format!("{value:.2}")).set_alignment(CellAlignment::Right);
        let differs = format!("{:+.1} %", 100.0 * (simulated / formula - 1.0));
        table.add_row([
            Cell::new(name),
            number(formula),
            number(simulated),
            Cell::new(unit),
            Cell::new(differs).set_alignment(CellAlignment::Right),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(simulated: f64, formula: f64, share: f64) {
        let differs = (simulated / formula - 1.0).abs();
        assert!(differs <= share, "simulated {simulated}, formula {formula}");
    }

    #[test]
    fn the_simulation_gives_what_the_formulae_say_for_trees_of_one_to_three_levels() {
        let units = Units::default();
        for (instances, per_leaf, per_relay) in
            [(1_000, 2_000, 50), (40_000, 2_000, 50), (400_000, 2_000, 50), (300_000, 1_000, 10)]
        {
            let plan = Plan { instances, per_leaf, per_relay };
            for seed in [1, 2] {
                let spread = tree::spread(&plan, &units, 20, seed);
                assert_eq!((spread.relays, spread.levels), (plan.relays(), plan.fans().len()));
                within(spread.mean_ms, plan.mean_ms(&units), 0.05);
                within(spread.last_ms, plan.last_ms(&units), 0.15);
                within(spread.leaf_mb_s, plan.leaf_mb_s(&units), 0.02);
                within(spread.root_mb_s, plan.root_mb_s(&units), 0.02);
                within(spread.leaf_busy, plan.leaf_busy(&units), 0.02);
                let storm = storm::storm(&plan, &units, seed);
                within(storm.half_up_s, plan.half_up_s(&units), 0.1);
                within(storm.all_up_s, plan.all_up_s(&units), 0.1);
            }
        }
    }

    #[test]
    fn one_seed_gives_one_result() {
        let (plan, units) =
            (Plan { instances: 5_000, per_leaf: 500, per_relay: 5 }, Units::default());
        assert_eq!(table(&plan, &units, 5, 7).to_string(), table(&plan, &units, 5, 7).to_string());
    }
}
