//! What the configuration accepts, refuses and says.

use super::*;

fn load(set: &[&str]) -> Result<Config> {
    Config::load(&Arguments {
        run_date: Some("2024-02-28".to_owned()),
        set: set.iter().map(|assignment| (*assignment).to_owned()).collect(),
        ..Arguments::default()
    })
}

#[test]
fn an_as_of_date_follows_the_run_date() {
    let as_of = |text: &str| {
        load(&[&format!("rfm.as_of={text}")]).map(|config| config.rfm.as_of.unwrap().to_string())
    };
    assert_eq!(as_of("run_date").unwrap(), "2024-02-28");
    assert_eq!(as_of("run_date + 2 days").unwrap(), "2024-03-01");
    assert_eq!(as_of("2024-02-28").unwrap(), "2024-02-28");
    for wrong in ["2024-02-27", "run_date - 1 day", "run_date + x days", "tomorrow", "2024-2-28"] {
        assert!(as_of(wrong).unwrap_err().to_string().contains("rfm.as_of must be"), "{wrong}");
    }
}

#[test]
fn a_minimum_support_is_written_once() {
    assert_eq!(load(&[]).unwrap().rules.min_support, MinSupport::Share(0.01));
    assert_eq!(load(&["rules.min_support_count=50"]).unwrap().rules.min_support, MinSupport::Count(50));
    let both = load(&["rules.min_support_count=50", "rules.min_support=0.1"]).unwrap_err();
    assert!(both.to_string().contains("write one of them"));
}

#[test]
fn values_out_of_range_name_the_key_and_where_it_was_written() {
    for (assignment, expected) in [
        ("rules.min_support=0", "rules.min_support must be in (0, 1]"),
        ("rules.min_support=nan", "rules.min_support must be in (0, 1]"),
        ("rules.min_confidence=1.5", "rules.min_confidence must be from 0 to 1"),
        ("rules.algorithm=eclat", "rules.algorithm must be fp_growth or apriori, not eclat"),
        ("rfm.weights.recency=0.5", "must sum to 1, not 1.2"),
        ("rfm.bins=0", "rfm.bins must be from 1 to 100"),
        ("rfm.binning=fixed", "rfm.binning is fixed, and rfm.cuts.recency does not say where"),
        ("rfm.cuts.monetary=[1, 2]", "rfm.cuts.monetary belongs to binning fixed, which rfm.binning is not"),
        ("clean.returns=maybe", "clean.returns must be exclude or net or keep or error, not maybe"),
        ("clean.returns_when=quantity <", "clean.returns_when is no SQL expression"),
        ("input.timezone=Mars", "input.timezone is no time zone"),
        ("engine.kind=spark", "engine.kind must be embedded or ballista, not spark"),
        ("engine.scheduler=df://host:1", "belongs to engine.kind = \"ballista\""),
        ("engine.local_limit=much", "engine.local_limit must be a size"),
        ("engine.memory_limit=lots", "engine.memory_limit must be a size"),
        ("output.orphan_age=soon", "output.orphan_age must be a duration"),
    ] {
        let error = load(&[assignment]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(expected), "{assignment}: {text}");
        assert!(text.contains("file: --set"), "{assignment}: {text}");
        assert_eq!(error.kind().exit_code(), 2);
    }
}

#[test]
fn selecting_rules_selects_their_itemsets() {
    let select = |names: &[&str]| Select::parse(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(select(&["rules"]).unwrap(), Select { rfm: false, itemsets: true, rules: true });
    assert_eq!(select(&[]).unwrap().names(), ["rfm", "rules"]);
    assert!(select(&["rule"]).is_err());
}

#[test]
fn cut_points_are_ascending_numbers() {
    let cuts = |recency: &str| {
        let cuts = format!("rfm.cuts={{ recency = {recency}, frequency = [1], monetary = [2.5] }}");
        load(&["rfm.binning=fixed", &cuts]).map(|config| config.rfm.by_recency.bins)
    };
    assert_eq!(cuts("[30, 90.5]").unwrap(), 3);
    for wrong in ["[]", "[2, 1]", "[1, 1]", "[nan]", "[inf]"] {
        let error = cuts(wrong).unwrap_err().to_string();
        assert!(error.contains("rfm.cuts.recency must be ascending numbers"), "{wrong}: {error}");
    }
}
