//! What every ledger promises, as tests that each backend runs.
//!
//! [`suite!`] takes what makes an empty ledger, and a guard that keeps it alive, and names one test a
//! promise. The promises stand in the modules below, by what they are about.

pub(crate) mod orders;
pub(crate) mod questions;
pub(crate) mod records;
pub(crate) mod sagas;
pub(crate) mod transactions;
pub(crate) mod world;

/// One test a promise, against the ledger that `$make` makes: an async expression of
/// `(impl Ledger, guard)`; with `where there:`, of an option of it, `None` where its server is not there.
macro_rules! suite {
    (where there: $make:expr) => {
        $crate::ledger::contract::suite!(@ $make, transactions:
            a_lease_is_kept_by_its_owner_and_lost_to_another,
            an_epoch_is_opened_once,
            a_transaction_that_is_dropped_never_was,
            a_transaction_sees_its_own_writes_and_nobody_else_does,
            write_transactions_of_a_partition_run_one_by_one,
            the_watermark_and_the_published_mark_never_move_back,
            a_finish_follows_the_last_one,
            declarations_are_written_whole,
        );
        $crate::ledger::contract::suite!(@ $make, sagas:
            a_running_saga_comes_back_whole,
            a_saga_that_waited_is_completed_at_its_start,
            an_ended_saga_keeps_its_answer_and_drops_its_weight,
            a_move_from_another_state_does_nothing,
            an_undone_saga_ends_otherwise_than_foreseen,
            a_claim_names_the_row_that_holds_it,
            unfinished_sagas_come_in_log_order,
            ended_sagas_come_by_whole_finishes,
            attempts_are_counted,
        );
        $crate::ledger::contract::suite!(@ $make, records:
            a_head_is_written_over_a_lower_version_alone,
            an_undo_raises_the_version_and_leaves_the_rest,
            creation_is_kept_until_a_deletion,
            a_touch_moves_forward_only_and_never_wakes_the_dead,
            live_memories_are_counted_and_listed,
            heads_since_a_finish_are_those_that_it_wrote,
            scans_go_over_everything_once,
            relations_are_fenced_and_found_by_what_they_hang_on,
            a_sweep_drops_what_nothing_points_at,
        );
        $crate::ledger::contract::suite!(@ $make, orders:
            an_order_stands_until_its_transaction_commits,
            a_resolve_gives_way_to_no_other_order,
            an_order_that_came_meanwhile_is_not_taken_away,
            why_a_partition_stands_still_is_kept_until_it_goes_on,
            an_epoch_follows_one_that_rests_and_whose_leases_hold,
        );
        $crate::ledger::contract::suite!(@ $make, questions:
            a_head_is_at_rest_when_nothing_of_its_space_is_unfinished,
            lists_and_counts_keep_to_kind_and_session,
            counts_tell_what_lives_by_kind_and_by_type,
            commands_are_found_by_state_in_log_order,
            a_space_with_history_keeps_what_was_replaced,
            history_that_was_switched_off_is_not_whole_any_more,
        );
    };
    ($make:expr) => {
        $crate::ledger::contract::suite!(where there: async { Some($make.await) });
    };
    (@ $make:expr, $module:ident: $($promise:ident,)*) => {
        $(
            #[tokio::test]
            async fn $promise() {
                let Some((ledger, _guard)) = $make.await else { return };
                $crate::ledger::contract::$module::$promise(&ledger).await;
            }
        )*
    };
}
pub(crate) use suite;
