//! The OpenAPI document: it matches the golden file, it has every route, and all its references resolve.

use std::collections::BTreeSet;

use api::{Operation, ROUTES};
use expect_test::expect_file;
use serde_json::Value;

#[test]
fn the_document_matches_the_golden_file() {
    expect_file!["golden/openapi.json"].assert_eq(&api::openapi_json());
}

#[test]
fn every_route_is_in_the_document() {
    let document: Value = serde_json::from_str(&api::openapi_json()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    for route in ROUTES {
        let method = format!("{:?}", route.method).to_lowercase();
        let operation = &document["paths"][route.path][&method];
        assert_eq!(operation["operationId"], route.operation.name(), "{method} {}", route.path);
        let secured = operation["security"][0]["api_key"].as_array().map_or(0, Vec::len);
        assert_eq!(secured, usize::from(route.scope.is_some()), "{method} {} names one scope", route.path);
    }
    let operations: usize =
        document["paths"].as_object().unwrap().values().map(|item| item.as_object().unwrap().len()).sum();
    assert_eq!(operations, ROUTES.len());
}

#[test]
fn every_reference_resolves() {
    let document: Value = serde_json::from_str(&api::openapi_json()).unwrap();
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[test]
fn only_operations_without_data_are_open_without_a_key() {
    let open: Vec<_> = ROUTES.iter().filter(|route| route.scope.is_none()).map(|route| route.operation).collect();
    let expected = [
        Operation::GetIssuerMetadata,
        Operation::GetOpenIdConfiguration,
        Operation::GetIssuerKeys,
        Operation::IssueToken,
        Operation::IntrospectToken,
        Operation::RevokeToken,
        Operation::Health,
        Operation::Ready,
        Operation::Metrics,
        Operation::OpenApi,
    ];
    assert_eq!(open, expected);
}

fn collect(value: &Value, into: &mut BTreeSet<String>) {
    if let Value::Object(fields) = value {
        if let Some(Value::String(reference)) = fields.get("$ref") {
            into.insert(reference.clone());
        }
        fields.values().for_each(|value| collect(value, into));
    } else if let Value::Array(items) = value {
        items.iter().for_each(|item| collect(item, into));
    }
}
