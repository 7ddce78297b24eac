//! The OpenAPI document, which is generated from the route table alone.

use utoipa::openapi::path::{HttpMethod, Operation, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{
    AdditionalProperties, Components, KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type,
};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Content, ContentBuilder, HeaderBuilder, Info, License, OpenApi, OpenApiBuilder, Paths, Ref, RefOr, Required,
    Response, ResponseBuilder,
};
use utoipa::{PartialSchema as _, ToSchema as _};

use crate::events::Event;
use crate::problem::{Problem, ProblemBody};
use crate::routes::{Answer, Body, Key, Kind, Method, ROUTES, Route, Shape, Tag};
use crate::scope::{Role, Scope};
use crate::{archive, packed};

const API_KEY: &str = "api_key";
const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// The whole document as JSON text.
pub fn openapi_json() -> String {
    let mut json = serde_json::to_string_pretty(&document()).expect("a document of strings is JSON");
    json.push('\n');
    json
}

fn document() -> OpenApi {
    let mut paths = Paths::new();
    for route in ROUTES {
        let method = match route.method {
            Method::Get => HttpMethod::Get,
            Method::Post => HttpMethod::Post,
            Method::Put => HttpMethod::Put,
        };
        paths.add_path_operation(route.path, vec![method], operation(route));
    }
    let mut info = Info::new("Finaira", env!("CARGO_PKG_VERSION"));
    info.description = Some(description());
    info.license = Some(License::new(env!("CARGO_PKG_LICENSE")));
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components())).build()
}

fn description() -> String {
    let mut text =
        "Finaira decides and posts payments in one step.\n\nMoney is a whole number of minor units in a string, \
                    next to its asset: `\"1250\"` of `EUR/2` is 12.50 euros. Ids are hyphenated UUIDs or 128-bit \
                    decimals, in strings. Times are RFC 3339. The server rejects unknown fields and parameters. Every error \
                    is `application/problem+json` with a stable `code`.\n\nScopes of API keys:\n"
            .to_owned();
    for (_, name, summary) in Scope::TABLE {
        text.push_str(&format!("\n- `{name}`: {summary}"));
    }
    text.push_str("\n\nRoles, which are sets of scopes:\n");
    for Role { name, scopes, summary } in Role::TABLE {
        let scopes =
            if *scopes == Scope::ALL { "all scopes".to_owned() } else { scopes.names().collect::<Vec<_>>().join(", ") };
        text.push_str(&format!("\n- `{name}`: {summary} It has {scopes}."));
    }
    text
}

fn operation(route: &Route) -> Operation {
    let tag = route.path.strip_prefix("/v1/").map_or("operations", |path| path.split('/').next().unwrap_or(path));
    let mut operation =
        OperationBuilder::new().tag(tag).summary(Some(route.summary)).operation_id(Some(route.operation.name()));
    if let Some(scope) = route.scope {
        let names: Vec<&str> = scope.names().collect();
        operation = operation
            .description(Some(format!("Scope: `{}`.", names.join("`, `"))))
            .security(SecurityRequirement::new(API_KEY, names));
    }
    for name in route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .schema(Some(string()));
        operation = operation.parameter(parameter);
    }
    for parameter in route.parameters {
        let schema = match parameter.kind {
            Kind::Text => string(),
            Kind::Number => number(),
            Kind::Flag => boolean(),
        };
        let parameter = ParameterBuilder::new()
            .name(parameter.name)
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .description(Some(parameter.summary))
            .schema(Some(schema));
        operation = operation.parameter(parameter);
    }
    if let Some((required, summary)) = match route.key {
        Key::Unused => None,
        Key::Id => Some((Required::False, "Replaces `id` in the body. The same key always gives the same id.")),
        Key::Ids => Some((
            Required::False,
            "Replaces every `id` in the body. The key belongs to the whole batch: with other items, it is refused.",
        )),
        Key::Request => Some((
            Required::False,
            "Identifies this request. A retry with the same key and content changes nothing, even if another request \
             changed the same thing in the meantime; other content is refused. The server remembers the last 65,536 keys.",
        )),
        Key::Verb => {
            Some((Required::True, "Identifies this verb on this payment, so that the server recognises a retry."))
        }
    } {
        let parameter = ParameterBuilder::new()
            .name(crate::identity::IDEMPOTENCY_KEY)
            .parameter_in(ParameterIn::Header)
            .required(required)
            .description(Some(summary))
            .schema(Some(string()));
        operation = operation.parameter(parameter);
    }
    if route.tag == Tag::Matched {
        let parameter = ParameterBuilder::new()
            .name(crate::identity::IF_MATCH)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some("The `ETag` of what the request changes. With another one, the answer is 412."))
            .schema(Some(string()));
        operation = operation.parameter(parameter);
    }
    if let Some((required, media_types, schema)) = match route.body {
        Body::None => None,
        Body::Json(shape) | Body::Batch(shape) => Some((Required::True, &[JSON][..], reference(shape))),
        Body::Empty(shape) => Some((Required::False, &[JSON][..], reference(shape))),
        Body::Form(shape) => Some((Required::True, &[FORM][..], reference(shape))),
        Body::Archive => Some((Required::True, &archive::MEDIA_TYPES[..], binary())),
        Body::Packed { .. } => Some((Required::True, &[packed::MEDIA_TYPE][..], binary())),
    } {
        let summary = match route.body {
            Body::Packed { summary, .. } => Some(summary),
            Body::Archive => Some(
                "A tar archive of the policy's folder, at most 20 MiB, or compressed with gzip, at most 20 MiB when \
                 decompressed. The server recognises the compression by itself; either content type is accepted for both.",
            ),
            Body::None | Body::Json(_) | Body::Batch(_) | Body::Empty(_) | Body::Form(_) => None,
        };
        let body = RequestBodyBuilder::new().required(Some(required)).description(summary);
        let content =
            |body: RequestBodyBuilder, media_type: &&str| body.content(*media_type, Content::new(Some(schema.clone())));
        let body = media_types.iter().fold(body, content);
        operation = operation.request_body(Some(body.build()));
    }
    for (status, response) in responses(route) {
        operation = operation.response(status, response);
    }
    operation.build()
}

fn responses(route: &Route) -> Vec<(&'static str, Response)> {
    let content = |media_type: &str, description: &str, schema: Option<RefOr<Schema>>| {
        ResponseBuilder::new().description(description).content(media_type, Content::new(schema))
    };
    let problem = Ref::from_schema_name(ProblemBody::name());
    let problem = content(Problem::MEDIA_TYPE, "An error with a stable code.", Some(problem.into())).build();
    let tag = |response: ResponseBuilder| match route.tag {
        Tag::None => response,
        Tag::Shown | Tag::Matched => {
            let about = "The version of the address, the limits and the metadata of an account, of the metadata of a transfer, \
                or of the metadata and the label of a payment. Balances and statuses do not change it.";
            response.header("ETag", HeaderBuilder::new().schema(Some(string())).description(Some(about)).build())
        }
    };
    let mut responses = match route.answer {
        Answer::Found(shape) => {
            vec![("200", tag(content(JSON, "The request succeeded.", Some(reference(shape)))).build())]
        }
        Answer::Created(shape) => {
            let replayed = HeaderBuilder::new().schema(Some(string())).description(Some("Always `true`.")).build();
            let before =
                content(JSON, "The same request was answered before. This is its answer.", Some(reference(shape)));
            vec![
                ("200", tag(before.header("Idempotent-Replayed", replayed)).build()),
                ("201", tag(content(JSON, "Created by this request.", Some(reference(shape)))).build()),
            ]
        }
        Answer::Accepted(shape) => {
            vec![("202", content(JSON, "It is done in the background.", Some(reference(shape))).build())]
        }
        Answer::Events(shape) => {
            let event = ContentBuilder::new().schema(Some(Ref::from_schema_name(Event::name())));
            let page = content(JSON, "A page, or an endless stream.", Some(reference(shape)));
            vec![("200", page.content("text/event-stream", event.build()).build())]
        }
        Answer::Packed(summary) => vec![("200", content(packed::MEDIA_TYPE, summary, Some(binary())).build())],
        Answer::Text(media_types) => {
            let described = ResponseBuilder::new().description("The request succeeded.");
            let with = |response: ResponseBuilder, media_type: &&str| {
                response.content(*media_type, Content::new(Some(string())))
            };
            vec![("200", media_types.iter().fold(described, with).build())]
        }
        Answer::Bytes(summary) => vec![("200", content("application/octet-stream", summary, Some(binary())).build())],
        Answer::Document => {
            let any = ObjectBuilder::new().build();
            vec![("200", content(JSON, "The request succeeded.", Some(Schema::Object(any).into())).build())]
        }
    };
    responses.push(("default", problem));
    responses
}

fn components() -> Components {
    let mut parts = vec![(ProblemBody::name().into_owned(), ProblemBody::schema())];
    ProblemBody::schemas(&mut parts);
    for route in ROUTES {
        let body = match route.body {
            Body::Json(shape) | Body::Batch(shape) | Body::Empty(shape) | Body::Form(shape) => Some(shape),
            Body::None | Body::Archive | Body::Packed { .. } => None,
        };
        let answer = match route.answer {
            Answer::Found(shape) | Answer::Created(shape) | Answer::Accepted(shape) | Answer::Events(shape) => {
                Some(shape)
            }
            Answer::Packed(_) | Answer::Text(_) | Answer::Bytes(_) | Answer::Document => None,
        };
        for shape in [body, answer].into_iter().flatten() {
            (shape.parts)(&mut parts);
        }
        parts.extend(answer.map(|shape| ((shape.name)(), (shape.schema)())));
        parts.extend(body.map(|shape| ((shape.name)(), closed((shape.schema)()))));
    }
    let key = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API key: `Authorization: Bearer fin_…`."))
        .build();
    let mut components = Components::new();
    components.add_security_scheme(API_KEY, SecurityScheme::Http(key));
    components.schemas.extend(parts);
    components
}

fn reference(shape: Shape) -> RefOr<Schema> {
    Ref::from_schema_name((shape.name)()).into()
}

/// The schema of a request body: unknown fields are rejected.
fn closed(schema: RefOr<Schema>) -> RefOr<Schema> {
    let RefOr::T(Schema::Object(mut object)) = schema else { return schema };
    object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
    RefOr::T(Schema::Object(object))
}

fn string() -> RefOr<Schema> {
    Schema::Object(ObjectBuilder::new().schema_type(Type::String).build()).into()
}

fn number() -> RefOr<Schema> {
    Schema::Object(ObjectBuilder::new().schema_type(Type::Integer).build()).into()
}

fn boolean() -> RefOr<Schema> {
    Schema::Object(ObjectBuilder::new().schema_type(Type::Boolean).build()).into()
}

fn binary() -> RefOr<Schema> {
    let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
    Schema::Object(ObjectBuilder::new().schema_type(Type::String).format(Some(format)).build()).into()
}
