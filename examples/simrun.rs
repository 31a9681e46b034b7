//! Scratch.
use engraft::sim;
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let from: u64 = args[0].parse().unwrap();
    let n: u64 = args[1].parse().unwrap();
    let mut options = sim::Options::default();
    if args.get(2).is_some_and(|a| a == "nofault") {
        options.faults = false;
    }
    let t = std::time::Instant::now();
    if args.get(2).is_some_and(|a| a == "trace") {
        let r = sim::trace(from, &options);
        for l in &r.lines {
            println!("{l}");
        }
        return;
    }
    let report = sim::campaign(from, n, &options, |_| ());
    println!("{}", report.render());
    println!("{:?} {:.0} seeds/min", t.elapsed(), n as f64 / t.elapsed().as_secs_f64() * 60.0);
}
