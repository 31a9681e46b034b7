//! Settings: what is refused and how, what they come to, and who set them.

use crate::world::{alone, engraft, folder, run};

#[test]
fn bad_settings_exit_with_2_and_name_file_line_key_value_and_fix() {
    for (text, named) in [
        (
            "[http]\nadress = \"127.0.0.1:1\"\n",
            &["`http.adress`", "engraft.toml:2", "did you mean `address`?"][..],
        ),
        ("[http]\naddress = 7\n", &["`http.address`", "engraft.toml:2", "`7`", "127.0.0.1:7878"]),
        ("[log]\npartitions = 0\n", &["`log.partitions` is 0", "engraft.toml:2"]),
        ("[log]\nkind = \"paper\"\n", &["`log.kind`", "paper", "embedded", "engraft.toml:2"]),
        ("[log\n", &["engraft.toml"]),
    ] {
        let folder = folder();
        std::fs::write(folder.path().join("engraft.toml"), text).expect("written");
        for command in [&["check-config"][..], &["config", "show"]] {
            let refused = alone(folder.path(), command, "").ends(2).says(named);
            assert!(refused.data.is_empty(), "{}", refused.data);
        }
    }
    let folder = folder();
    alone(folder.path(), &["check-config", "--config", "gone.toml"], "").ends(2).says(&["gone.toml"]);
}

#[test]
fn an_address_that_other_machines_may_reach_is_refused_without_tokens() {
    let folder = folder();
    alone(folder.path(), &["serve", "--address", "0.0.0.0:0"], "").ends(2).says(&["loopback"]);
}

#[test]
fn settings_are_shown_with_who_set_them_and_can_be_read_back() {
    let folder = folder();
    let text = "[log]\npartitions = 4\n[kafka.client]\n\"sasl.password\" = \"hunter2\"\n";
    std::fs::write(folder.path().join("engraft.toml"), text).expect("written");
    let show = |arguments: &[&str]| {
        let mut command = engraft(folder.path());
        command.env("ENGRAFT_HTTP__WAITING_COUNT_MAX", "7").args(arguments);
        run(command, "").ends(0)
    };
    let shown = show(&["config", "show", "--origin", "--data", "elsewhere"]).shows(&[
        "[log]",
        "partitions = 4",
        "# engraft.toml:2",
        "# ENGRAFT_HTTP__WAITING_COUNT_MAX",
        "# --data",
        "# default",
        "\"sasl.password\" = \"***\"",
    ]);
    std::fs::write(folder.path().join("back.toml"), &shown.data).expect("written");
    alone(folder.path(), &["check-config", "--config", "back.toml"], "").ends(0);
    let again =
        alone(folder.path(), &["config", "show", "--config", "back.toml", "-o", "json"], "").ends(0).json();
    assert_eq!(again, show(&["config", "show", "--data", "elsewhere", "-o", "json"]).json());
    for arguments in [
        &["config", "show"][..],
        &["config", "show", "-o", "jsonl", "--origin"],
        &["config", "show", "-o", "json", "--origin"],
        &["check-config"],
        &["check-config", "-o", "json"],
    ] {
        let ran = show(arguments);
        assert!(!format!("{ran:?}").contains("hunter2"), "{ran:?}");
    }
    show(&["check-config"])
        .shows(&["log.partitions", "4", "engraft.toml:2"])
        .says(&["the settings are good"]);
}

#[test]
fn what_a_client_is_told_is_no_setting_of_the_server() {
    let folder = folder();
    let mut command = engraft(folder.path());
    command.env("ENGRAFT_URL", "http://x").env("ENGRAFT_TOKEN", "t").arg("check-config");
    run(command, "").ends(0).says(&["0 of"]);
}
