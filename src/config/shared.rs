//! What a process that works with others needs: a log, a ledger and vectors that all of them reach.
//!
//! A store that is one process's own would not fail. It would be right for that process and empty for the others,
//! so roles are refused over one.

use super::{Config, Error, LogKind, Role, VectorKind};
use crate::ledger::options::Kind as LedgerKind;

/// Refuses a role beside others over stores that are not shared, with the setting that mends it.
pub(super) fn check(config: &Config) -> Result<(), Error> {
    if config.role == Role::All {
        return Ok(());
    }
    let refused = |why: &str| Err(Error(format!("`role` is not `all`, but {why}")));
    if config.log.kind == LogKind::Embedded {
        return refused("an embedded log is one process's own; set `log.kind = \"kafka\"`");
    }
    if config.ledger.kind() == LedgerKind::Sqlite {
        return refused("a ledger on SQLite is one process's own; set `ledger.url`");
    }
    if config.vector.kind != VectorKind::Qdrant {
        return refused(
            "this vector store is one process's own, and the others would find nothing of what it holds; set \
             `vector.kind = \"qdrant\"` and `qdrant.url`",
        );
    }
    Ok(())
}

#[cfg(all(test, feature = "kafka", feature = "postgres", feature = "qdrant"))]
mod tests {
    use figment::Jail;

    use super::super::{Flags, load};

    #[test]
    fn a_process_that_works_with_others_is_refused_each_store_that_they_cannot_share() {
        for role in ["api", "worker"] {
            Jail::expect_with(|jail| {
                jail.set_env("ENGRAFT_ROLE", role);
                let mut is_refused = |name: &str, value: &str, fix: &str| {
                    let refusal = load(None, &Flags::default()).expect_err("refused").to_string();
                    assert!(refusal.contains("`role`") && refusal.contains(fix), "{refusal}");
                    jail.set_env(name, value);
                };
                is_refused("ENGRAFT_LOG__KIND", "kafka", "`log.kind = \"kafka\"`");
                is_refused("ENGRAFT_LEDGER__URL", "postgres://db/engraft", "`ledger.url`");
                is_refused("ENGRAFT_VECTOR__KIND", "memory", "`vector.kind = \"qdrant\"`");
                is_refused("ENGRAFT_VECTOR__KIND", "qdrant", "`qdrant.url`");
                assert!(load(None, &Flags::default()).is_ok());
                Ok(())
            });
        }
    }
}
