//! Rules of Secrets: what of them is read, and how.
use super::Relation::{Different, Fixed, Same};
use super::Rule;

pub(super) const RULES: &[Rule] = &[
    Rule {
        rule: "While a Secret is missing, nothing is pruned; what the others declare is applied.",
        source: "§5.1",
        relation: Different,
        note: "the original applies nothing",
        tests: &["lifecycle::stages::nothing_is_deleted_while_a_secret_is_missing"],
    },
    Rule {
        rule: "A document that cannot be read holds pruning back and stops nothing else; the condition names Secret, key, document and reason.",
        source: "§5.3, §16.1",
        relation: Fixed,
        note: "the original deletes what it cannot read",
        tests: &[
            "faults::secret_content::a_secret_that_flips_between_good_and_bad_deletes_nothing",
            "apply::decode::keys_in_brotli_are_read_and_broken_ones_refused",
        ],
    },
    Rule {
        rule: "A name that an object of its kind cannot have makes a document one that cannot be read: refused at the door, and never asked for. Of kinds that come with Kubernetes, that is what no API server from 1.30 on accepts; of all others only the empty name, `.`, `..`, and names with `/` or `%`. A namespace is a DNS label.",
        source: "§5.3",
        relation: Different,
        note: "the original sends such names, as segments of a path",
        tests: &[
            "apply::object_names::a_name_that_its_kind_cannot_have_is_refused_at_the_door",
            "apply::object_names::a_name_that_its_kind_cannot_have_never_leads_to_another_object",
            "apply::object_names::we_refuse_the_names_that_the_api_server_refuses",
        ],
    },
    Rule {
        rule: "No content makes the decoder run for ever or take memory without bound.",
        source: "§5.2, §16.2",
        relation: Fixed,
        note: "the original loses a worker to it",
        tests: &[
            "faults::secret_content::corrupt_brotli_costs_no_memory",
            "apply::decode::keys_in_brotli_are_read_and_broken_ones_refused",
        ],
    },
    Rule {
        rule: "Scalars are read as YAML 1.1 says (`0644` is 420, `yes` is true); integers keep all their digits.",
        source: "§5.2, §16.6",
        relation: Fixed,
        note: "integers of the original lose digits above 2^53",
        tests: &["apply::decode::numbers_arrive_as_go_reads_them"],
    },
    Rule {
        rule: "Lists (`kind: List`), streams of JSON and empty documents are read.",
        source: "§5.2",
        relation: Different,
        note: "the original does not take lists apart",
        tests: &["apply::decode::lists_json_and_empty_documents_are_read"],
    },
    Rule {
        rule: "A Secret that is named twice counts once, and is remarked upon; a name that no Secret can have is a missing Secret.",
        source: "§5.1",
        relation: Different,
        note: "the original decodes it twice and lists its objects twice",
        tests: &["lifecycle::invalid_settings::mistakes_without_effect_are_named_and_do_no_harm"],
    },
    Rule {
        rule: "Hundreds of Secrets, and Secrets of a mebibyte, are read.",
        source: "§5.1",
        relation: Same,
        note: "",
        tests: &["lifecycle::invalid_settings::three_hundred_secrets_and_a_large_one_are_read"],
    },
    Rule {
        rule: "Of two different manifests of one object the later counts; the other is named by Event and condition.",
        source: "§5.6, design §6",
        relation: Different,
        note: "the original applies both, each time, and lists the object twice",
        tests: &["apply::decode::of_different_manifests_of_one_object_the_later_counts_and_is_named"],
    },
    Rule {
        rule: "`status.secretsDataChecksum` is a lower-case SHA-256 of all Secrets in their order, each key once, with its name.",
        source: "§5.5",
        relation: Different,
        note: "the original feeds a key once for each object in it, and without its name",
        tests: &["lifecycle::conditions::the_checksum_follows_the_data_and_nothing_else"],
    },
];
