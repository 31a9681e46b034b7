//! Parses the command line, loads the configuration, runs.

fn main() {}
