//! `Attributes` against the plainest thing that could be one: a list.

use chappe_core::{Attributes, Value};
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Insert(String, String),
    Append(String, String),
    Remove(String),
    Clear,
    Clone,
}

type Model = Vec<(String, String)>;

fn same(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right)
}

fn apply(op: Op, model: &mut Model, attributes: &mut Attributes) {
    match op {
        Op::Insert(name, value) => {
            match model.iter().position(|(have, _)| same(have, &name)) {
                Some(first) => {
                    model[first] = (name.clone(), value.clone());
                    let mut at = 0;
                    model.retain(|(have, _)| {
                        at += 1;
                        at <= first + 1 || !same(have, &name)
                    });
                }
                None => model.push((name.clone(), value.clone())),
            }
            attributes.insert(name, value);
        }
        Op::Append(name, value) => {
            model.push((name.clone(), value.clone()));
            attributes.append(name, value);
        }
        Op::Remove(name) => {
            let expected =
                model.iter().find(|(have, _)| same(have, &name)).map(|(_, value)| Value::from(value.clone()));
            model.retain(|(have, _)| !same(have, &name));
            assert_eq!(attributes.remove(&name), expected);
        }
        Op::Clear => {
            model.clear();
            attributes.clear();
        }
        Op::Clone => *attributes = attributes.clone(),
    }
}

fn check(model: &Model, attributes: &Attributes, name: &str) {
    let exact = |(have, _): &&(String, String)| have == name;
    let any_case = |(have, _): &&(String, String)| same(have, name);
    let first = model.iter().find(exact).or_else(|| model.iter().find(any_case));
    let all: Vec<_> = match model.iter().any(|entry| exact(&entry)) {
        true => model.iter().filter(exact).map(|(_, value)| value.as_str()).collect(),
        false => model.iter().filter(any_case).map(|(_, value)| value.as_str()).collect(),
    };

    assert_eq!(attributes.get_str(name), first.map(|(_, value)| value.as_str()));
    assert_eq!(attributes.contains(name), first.is_some());
    assert_eq!(attributes.get_exact(name).is_some(), model.iter().any(|entry| exact(&entry)));
    assert_eq!(attributes.get_all(name).filter_map(Value::as_str).collect::<Vec<_>>(), all);
    assert_eq!((attributes.len(), attributes.is_empty()), (model.len(), model.is_empty()));
    assert_eq!(attributes.size_bytes(), model.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>());
    assert_eq!(*attributes, model.iter().cloned().collect::<Attributes>());
    assert_eq!(entries(attributes), *model);
}

fn entries(attributes: &Attributes) -> Model {
    attributes.iter().map(|(name, value)| (name.to_string(), value.as_str().unwrap_or_default().to_owned())).collect()
}

/// Few names, so that they collide, in several cases and alphabets.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[aAbB]{1,2}",
        1 => prop_oneof![Just("É".to_owned()), Just("é".to_owned()), Just(String::new())],
        1 => "a-name-that-is-too-long-to-be-held-[xX]",
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (name(), "[a-z]{0,30}").prop_map(|(name, value)| Op::Insert(name, value)),
        4 => (name(), "[a-z]{0,30}").prop_map(|(name, value)| Op::Append(name, value)),
        3 => name().prop_map(Op::Remove),
        1 => Just(Op::Clear),
        1 => Just(Op::Clone),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn attributes_behave_as_a_list_of_names_and_values(ops in vec((op(), name()), 0..40)) {
        let (mut model, mut attributes) = (Model::new(), Attributes::new());

        for (op, looked_up) in ops {
            apply(op, &mut model, &mut attributes);
            check(&model, &attributes, &looked_up);
        }
    }

    #[test]
    fn what_is_done_to_a_clone_is_not_done_to_the_original(
        entries_before in vec((name(), "[a-z]{0,3}"), 0..8),
        ops in vec(op(), 1..8),
    ) {
        let original: Attributes = entries_before.iter().cloned().collect();
        let (mut clone, mut model) = (original.clone(), entries_before.clone());

        for op in ops {
            apply(op, &mut model, &mut clone);
        }

        prop_assert_eq!(entries(&original), entries_before);
        prop_assert_eq!(entries(&clone), model);
    }
}
