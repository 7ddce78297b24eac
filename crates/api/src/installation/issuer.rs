//! Issuers whose access tokens are accepted: the document of one, and the request to add it.

use std::collections::BTreeMap;

use oauth::{
    Algorithm, Binding, IssuerSettings, PATH_NAMES_MAX, Profile, RULES_MAX, ScopeRule, Scopes, SettingsError, Tenants,
    Values,
};
use types::{TenantId, shorten};

use crate::errors::ErrorCode;
use crate::json::{Fields, Json, Number, one_of};
use crate::problem::Problem;

use super::grant::{Grant, Roles};
use super::{check_size, object, text, word};

/// The longest name of an issuer: that of a setting and of a claim.
const ISSUER_BYTES_MAX: usize = oauth::NAME_BYTES_MAX;
/// The longest name or value of a claim.
const CLAIM_BYTES_MAX: usize = 256;

/// An issuer, as its document in the system journal says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenIssuer {
    /// Its name, which is that of the setting.
    pub issuer: String,
    /// What `aud` must contain.
    pub audience: String,
    pub algorithms: Vec<Algorithm>,
    pub profile: Profile,
    pub tenants: Tenants,
    pub rules: Vec<IssuerRule>,
    pub binding: Binding,
}

/// Gives scopes to tokens with a value in a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerRule {
    /// The names on the way to the claim.
    pub path: Vec<String>,
    pub values: Values,
    pub value: String,
    pub grant: Grant,
}

const PROFILES: &[(&str, Profile)] = &[("access_token_jwt", Profile::AccessTokenJwt), ("plain_jwt", Profile::PlainJwt)];
const BINDINGS: &[(&str, Binding)] = &[("optional", Binding::Optional), ("required", Binding::Required)];
const VALUES: &[(&str, Values)] = &[("listed", Values::Listed), ("spaced", Values::Spaced)];
const FIELDS: &[&str] = &["algorithms", "audience", "binding", "issuer", "profile", "rules", "tenants"];

impl TokenIssuer {
    /// The document, in its only spelling: without spaces, with sorted fields.
    pub fn document(&self) -> String {
        let tenants = match &self.tenants {
            Tenants::Fixed(tenant) => object([("fixed", Some(number(*tenant)))]),
            Tenants::Claim { path, tenants } => {
                let values = tenants.iter().map(|(value, tenant)| (value.clone(), number(*tenant))).collect();
                object([("claim", Some(path_of(path))), ("values", Some(Json::Object(values)))])
            }
            // Only the built-in issuer has such tenants, and it has no document.
            Tenants::Numbered { path } => object([("claim", Some(path_of(path)))]),
        };
        let rules = self.rules.iter().map(|rule| {
            let [role, scopes] = rule.grant.fields();
            let claim = ("claim", Some(path_of(&rule.path)));
            object([claim, role, scopes, ("value", Some(text(&rule.value))), ("values", name_of(VALUES, rule.values))])
        });
        let algorithms = self.algorithms.iter().map(|algorithm| text(algorithm.name())).collect();
        let fields = [
            ("algorithms", Some(Json::List(algorithms))),
            ("audience", Some(text(&self.audience))),
            ("binding", name_of(BINDINGS, self.binding)),
            ("issuer", Some(text(&self.issuer))),
            ("profile", name_of(PROFILES, self.profile)),
            ("rules", Some(Json::List(rules.collect()))),
            ("tenants", Some(tenants)),
        ];
        object(fields).canonical("").unwrap_or_default()
    }

    /// Reads a document.
    ///
    /// # Errors
    /// If it does not describe an issuer.
    pub fn read(document: &str) -> Result<Self, Problem> {
        new_issuer(document.as_bytes())
    }

    /// The settings that tokens of the issuer are verified with.
    pub fn settings(&self, roles: &dyn Roles) -> IssuerSettings {
        let rule = |rule: &IssuerRule| ScopeRule {
            path: rule.path.clone(),
            values: rule.values,
            value: rule.value.clone(),
            scopes: Scopes(rule.grant.scopes(roles).bits()),
        };
        IssuerSettings {
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            algorithms: self.algorithms.clone(),
            profile: self.profile,
            tenants: self.tenants.clone(),
            rules: self.rules.iter().map(rule).collect(),
            binding: self.binding,
        }
    }
}

/// Parses the body of `POST /v1/issuers`.
///
/// # Errors
/// If the body does not describe an issuer.
pub fn new_issuer(body: &[u8]) -> Result<TokenIssuer, Problem> {
    let mut fields = Fields::of_body(body, FIELDS)?;
    let name = |fields: &mut Fields, field: &str| {
        fields.required(field, |fields, field| fields.text(field, "a string", ISSUER_BYTES_MAX))
    };
    let issuer = TokenIssuer {
        issuer: name(&mut fields, "issuer")?,
        audience: name(&mut fields, "audience")?,
        algorithms: algorithms(&mut fields)?,
        profile: word(&mut fields, "profile", PROFILES, Some(Profile::AccessTokenJwt))?,
        binding: word(&mut fields, "binding", BINDINGS, Some(Binding::Optional))?,
        tenants: tenants(&mut fields)?,
        rules: rules(&mut fields)?,
    };
    issuer.settings(&NoRoles).check().map_err(|error| {
        let field = match error {
            SettingsError::Issuer { .. } | SettingsError::Unprotected(_) | SettingsError::Suffix(_) => "issuer",
            SettingsError::Empty { setting, .. } | SettingsError::Many { setting, .. } => setting,
            SettingsError::Twice(_) | SettingsError::ManyIssuers { .. } => "",
        };
        fields.invalid(field, error.to_string())
    })?;
    check_size(&issuer.document())?;
    Ok(issuer)
}

/// For a check that does not look at the scopes.
struct NoRoles;

impl Roles for NoRoles {
    fn added(&self, _: &str) -> Option<crate::Scope> {
        None
    }
}

fn algorithms(fields: &mut Fields) -> Result<Vec<Algorithm>, Problem> {
    let listed = fields.list("algorithms", Algorithm::ALL.len())?;
    let mut algorithms = Vec::new();
    for (place, one) in listed.iter().enumerate() {
        let Some(algorithm) = one.as_text().and_then(Algorithm::named) else {
            let found = one.as_text().map_or_else(|| one.found(), |text| format!("`{}`", shorten(text)));
            let detail = format!("found {found}, expected {}", one_of(&Algorithm::ALL.map(Algorithm::name)));
            return Err(Problem::new(ErrorCode::InvalidField, detail).at(format!("/algorithms/{place}")));
        };
        algorithms.push(algorithm);
    }
    Ok(algorithms)
}

fn tenants(fields: &mut Fields) -> Result<Tenants, Problem> {
    let value = fields.required("tenants", |fields, field| Ok(fields.take(field)))?;
    let mut fields = Fields::of(value, fields.pointer_of("tenants"))?.among(&["fixed", "claim", "values"])?;
    if let Some(tenant) = fields.number("fixed", 1, u32::MAX)? {
        let other = ["claim", "values"].into_iter().find(|field| fields.has(field));
        return match other {
            None => Ok(Tenants::Fixed(TenantId::new(tenant))),
            Some(other) => Err(fields.invalid(other, "expected `fixed`, or `claim` and `values`, found both")),
        };
    }
    let path = path(&mut fields)?;
    let values = fields.required("values", |fields, field| Ok(fields.take(field)))?;
    let mut values = Fields::of(values, fields.pointer_of("values"))?;
    let mut tenants = BTreeMap::new();
    while let Some(value) = values.first_name() {
        let tenant = values.required(&value, |fields, field| fields.number(field, 1, u32::MAX))?;
        tenants.insert(value, TenantId::new(tenant));
    }
    Ok(Tenants::Claim { path, tenants })
}

fn rules(fields: &mut Fields) -> Result<Vec<IssuerRule>, Problem> {
    let listed = fields.list("rules", RULES_MAX)?;
    let mut rules = Vec::new();
    for (place, one) in listed.into_iter().enumerate() {
        let known = ["claim", "role", "scopes", "value", "values"];
        let mut fields = Fields::of(one, format!("/rules/{place}"))?.among(&known)?;
        rules.push(IssuerRule {
            path: path(&mut fields)?,
            values: word(&mut fields, "values", VALUES, Some(Values::Listed))?,
            value: fields.required("value", |fields, field| fields.text(field, "a string", CLAIM_BYTES_MAX))?,
            grant: Grant::read(&mut fields)?,
        });
    }
    Ok(rules)
}

/// Reads `claim`: the name of one, or the names on the way to a nested one. A dot in a name has no meaning.
fn path(fields: &mut Fields) -> Result<Vec<String>, Problem> {
    let expected = format!("a string, or an array of 1 to {PATH_NAMES_MAX} strings");
    let invalid = |fields: &Fields| fields.invalid("claim", format!("expected {expected}, each of 1 to 256 bytes"));
    let names = match fields.required("claim", |fields, field| Ok(fields.take(field)))? {
        Json::Text(name) => vec![name],
        Json::List(list) => {
            let names: Option<Vec<_>> = list.iter().map(|name| name.as_text().map(str::to_owned)).collect();
            names.filter(|names| names.len() <= PATH_NAMES_MAX).ok_or_else(|| invalid(fields))?
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => return Err(invalid(fields)),
    };
    let is_name = |name: &String| (1..=CLAIM_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
    if names.is_empty() || !names.iter().all(is_name) {
        return Err(invalid(fields));
    }
    Ok(names)
}

/// The inverse of [`path`].
fn path_of(path: &[String]) -> Json {
    match path {
        [name] => text(name),
        names => Json::List(names.iter().map(|name| text(name)).collect()),
    }
}

fn name_of<T: PartialEq>(words: &[(&str, T)], meaning: T) -> Option<Json> {
    words.iter().find(|(_, known)| *known == meaning).map(|(name, _)| text(name))
}

fn number(tenant: TenantId) -> Json {
    Json::Number(Number::of(&tenant))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scope;

    const SMALL: &str = r#"{"algorithms":["ES256"],"audience":"pay","issuer":"https://id.example","rules":[{"claim":"scope","values":"spaced","value":"pay","scopes":["payments:write"]}],"tenants":{"fixed":1}}"#;

    struct Cashier;

    impl Roles for Cashier {
        fn added(&self, name: &str) -> Option<Scope> {
            (name == "cashier").then_some(Scope::PAYMENTS_WRITE)
        }
    }

    #[test]
    fn a_document_reads_as_it_was_written() {
        let document = r#"{"algorithms":["RS256","EdDSA"],"audience":"https://pay.example","binding":"required","issuer":"https://id.example/realms/a","profile":"plain_jwt","rules":[{"claim":["realm_access","roles"],"role":"cashier","value":"till","values":"listed"},{"claim":"https://id.example/groups","scopes":["payments:read"],"value":"readers","values":"listed"}],"tenants":{"claim":"tenant","values":{"three":3,"two":2}}}"#;
        let issuer = TokenIssuer::read(document).unwrap();
        assert_eq!(issuer.document(), document);
        let settings = issuer.settings(&Cashier);
        let scopes: Vec<_> = settings.rules.iter().map(|rule| rule.scopes.0).collect();
        assert_eq!(scopes, [Scope::PAYMENTS_WRITE.bits(), Scope::PAYMENTS_READ.bits()]);
        assert_eq!((settings.profile, settings.binding), (Profile::PlainJwt, Binding::Required));
        assert_eq!(settings.check(), Ok(()));
        let removed = issuer.settings(&NoRoles);
        assert_eq!(removed.rules.first().map(|rule| rule.scopes), Some(Scopes(0)), "a role that was removed");
    }

    #[test]
    fn what_is_absent_has_a_meaning() {
        let issuer = new_issuer(SMALL.as_bytes()).unwrap();
        assert_eq!((issuer.profile, issuer.binding), (Profile::AccessTokenJwt, Binding::Optional));
        assert_eq!(issuer.tenants, Tenants::Fixed(TenantId::new(1)));
        assert_eq!(TokenIssuer::read(&issuer.document()), Ok(issuer));
        let other_name = new_issuer(SMALL.replace("ES256", "Ed25519").as_bytes()).unwrap();
        assert_eq!(other_name.algorithms, [Algorithm::EdDsa]);
    }

    #[test]
    fn what_is_no_issuer_is_refused_at_its_field() {
        let tenants = |tenants: &str| SMALL.replace(r#"{"fixed":1}"#, tenants);
        let claim = |claim: &str| SMALL.replace(r#""scope""#, claim);
        let rule = r#"{"claim":"scope","values":"spaced","value":"pay","scopes":["payments:write"]}"#;
        let many = |count: usize| SMALL.replace(rule, &vec![rule; count].join(","));
        for (body, field, detail) in [
            (SMALL.replace("https://id", "http://id"), "/issuer", "expected https"),
            (SMALL.replace("https://id", "id"), "/issuer", "no scheme"),
            (SMALL.replace("id.example", "id.example?a=1"), "/issuer", "neither a query"),
            (SMALL.replace("id.example", &"a".repeat(250)), "/issuer", "more than the limit of 256"),
            (SMALL.replace(r#""pay","issuer""#, r#""","issuer""#), "/audience", "`audience` is empty"),
            (SMALL.replace("ES256", "none"), "/algorithms/0", "found `none`, expected one of RS256"),
            (SMALL.replace("ES256", "HS256"), "/algorithms/0", "found `HS256`"),
            (SMALL.replace(r#"["ES256"]"#, "[]"), "/algorithms", "array of 0"),
            (
                SMALL.replace(r#""audience":"#, r#""profile":"jwt","audience":"#),
                "/profile",
                "expected `access_token_jwt`",
            ),
            (SMALL.replace(r#""audience":"#, r#""binding":"dpop","audience":"#), "/binding", "expected `optional`"),
            (SMALL.replace(r#""audience":"#, r#""jwks_uri":"https://a/","audience":"#), "/jwks_uri", "no field"),
            (tenants("{}"), "/tenants/claim", "required"),
            (tenants(r#"{"fixed":0}"#), "/tenants/fixed", "from 1"),
            (tenants(r#"{"fixed":"1"}"#), "/tenants/fixed", "a string"),
            (tenants(r#"{"fixed":1,"claim":"a"}"#), "/tenants/claim", "found both"),
            (tenants(r#"{"claim":"a"}"#), "/tenants/values", "required"),
            (tenants(r#"{"claim":"a","values":{}}"#), "/tenants", "`tenants` is empty"),
            (tenants(r#"{"claim":"a","values":{"x":null}}"#), "/tenants/values/x", "required"),
            (tenants(r#"{"claim":"a","values":{"x":1,"x":2}}"#), "/tenants/values/x", "twice"),
            (claim("7"), "/rules/0/claim", "a string, or an array"),
            (claim("[]"), "/rules/0/claim", "a string, or an array"),
            (claim(r#"["a",7]"#), "/rules/0/claim", "a string, or an array"),
            (claim(r#""""#), "/rules/0/claim", "a string, or an array"),
            (claim(r#"["1","2","3","4","5","6","7","8","9"]"#), "/rules/0/claim", "1 to 8 strings"),
            (SMALL.replace("spaced", "split"), "/rules/0/values", "expected `listed` or `spaced`"),
            (SMALL.replace(r#""value":"pay""#, r#""value":"""#), "/value", "`value` is empty"),
            (SMALL.replace("payments:write", "all"), "/rules/0/scopes/0", "found `all`"),
            (many(257), "/rules", "array of 257"),
            (many(256), "-", "at most 16384"),
        ] {
            let problem = new_issuer(body.as_bytes()).unwrap_err();
            assert_eq!(problem.field().unwrap_or("-"), field, "{body}: {}", problem.detail());
            assert!(problem.detail().contains(detail), "{body}: {}", problem.detail());
        }
    }
}
