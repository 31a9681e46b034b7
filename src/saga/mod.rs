//! One command's execution: decided once ([`plan`]), then sent, undone or taken up again.

pub mod plan;
