//! What the administrator of a Keycloak realm does to its keys.

use serde_json::Value;

use crate::service::Service;

/// The keys of a Keycloak realm, which its administrator changes.
pub(crate) struct Realm<'a> {
    pub(crate) service: &'a Service,
}

impl Realm<'_> {
    /// The administrator's header. Made for each request, because its token is valid for a minute only.
    fn authorization(&self) -> String {
        let admin = |member: &str| self.service.text(&format!("/admin/{member}"));
        let form = ["client_id", "username", "password"].map(|name| (name, admin(name)));
        let form = form.into_iter().chain([("grant_type", "password")]);
        let mut answer = ureq::post(admin("token_endpoint")).send_form(form).unwrap();
        let answer: Value = answer.body_mut().read_json().unwrap();
        format!("Bearer {}", answer["access_token"].as_str().unwrap())
    }

    fn components(&self) -> &str {
        self.service.text("/admin/components")
    }

    pub(crate) fn add(&self, key: &Value) {
        let request = ureq::post(self.components()).header("authorization", self.authorization());
        assert_eq!(request.send_json(key).unwrap().status(), 201);
    }

    pub(crate) fn id_of(&self, name: &str) -> String {
        let uri = format!("{}?type=org.keycloak.keys.KeyProvider", self.components());
        let mut answer = ureq::get(&uri).header("authorization", self.authorization()).call().unwrap();
        let all: Value = answer.body_mut().read_json().unwrap();
        let component = all.as_array().unwrap().iter().find(|component| component["name"] == name).unwrap();
        component["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn replace(&self, name: &str, key: &Value) {
        let request = ureq::put(format!("{}/{}", self.components(), self.id_of(name)));
        assert_eq!(request.header("authorization", self.authorization()).send_json(key).unwrap().status(), 204);
    }

    pub(crate) fn remove(&self, name: &str) {
        let request = ureq::delete(format!("{}/{}", self.components(), self.id_of(name)));
        assert_eq!(request.header("authorization", self.authorization()).call().unwrap().status(), 204);
    }
}
