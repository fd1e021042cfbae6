//! Parameters in tables of DynamoDB, read by `DynamoDbProvider`.

use aws_sdk_dynamodb::{
    Client,
    primitives::Blob,
    types::{
        AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
        ScalarAttributeType,
    },
};
use backend_tests::emulator;
use powertools::parameters::{Parameters, dynamodb::DynamoDbProvider};

struct Table {
    client: Client,
    name: &'static str,
}

impl Table {
    /// Makes a table with a partition key, and a sort key, if it is to have one.
    async fn create(name: &'static str, keys: &[&str]) -> Self {
        let client = Client::new(&emulator().await.sdk_config());
        let mut create = client.create_table().table_name(name);
        for (key, key_type) in keys.iter().zip([KeyType::Hash, KeyType::Range]) {
            let element = KeySchemaElement::builder()
                .attribute_name(*key)
                .key_type(key_type);
            let attribute = AttributeDefinition::builder()
                .attribute_name(*key)
                .attribute_type(ScalarAttributeType::S);
            create = create
                .key_schema(element.build().unwrap())
                .attribute_definitions(attribute.build().unwrap());
        }
        create
            .billing_mode(BillingMode::PayPerRequest)
            .send()
            .await
            .unwrap();
        Self { client, name }
    }

    async fn put<const N: usize>(&self, attributes: [(&str, AttributeValue); N]) {
        let put = self.client.put_item().table_name(self.name);
        let put = attributes
            .into_iter()
            .fold(put, |put, (name, value)| put.item(name, value));
        put.send().await.unwrap();
    }

    fn provider(&self) -> DynamoDbProvider {
        DynamoDbProvider::new(self.client.clone(), self.name)
    }

    fn parameters(&self) -> Parameters<DynamoDbProvider> {
        Parameters::new(self.provider())
    }
}

fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

#[tokio::test]
async fn a_parameter_is_read_written_anew_and_deleted() {
    let table = Table::create("backends-single", &["id"]).await;
    let parameters = table.parameters();
    let error = parameters.get("limit").await.unwrap_err();
    assert!(error.is_not_found(), "{error:?}");

    table
        .put([("id", s("limit")), ("value", s("1")), ("note", s("x"))])
        .await;
    assert_eq!(
        parameters.get("limit").await.unwrap().as_str().unwrap(),
        "1"
    );
    table
        .put([
            ("id", s("limit")),
            ("value", AttributeValue::N("2.50".to_owned())),
        ])
        .await;
    let limit = parameters.get("limit").consistent_read().await.unwrap();
    assert_eq!(*limit.json::<f64>().unwrap(), 2.5);

    let bytes = AttributeValue::B(Blob::new([0xff, 0x00]));
    table.put([("id", s("key")), ("value", bytes)]).await;
    assert_eq!(
        parameters.get("key").await.unwrap().as_bytes(),
        [0xff, 0x00]
    );
    table
        .put([("id", s("on")), ("value", AttributeValue::Bool(true))])
        .await;
    assert!(*parameters.get("on").json::<bool>().await.unwrap());

    let delete = table.client.delete_item().table_name(table.name);
    delete.key("id", s("limit")).send().await.unwrap();
    let error = parameters.get("limit").force_fetch().await.unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
}

#[tokio::test]
async fn all_of_a_key_are_read_over_many_pages() {
    // A page has 1 MB at the most.
    const COUNT: usize = 30;
    const SIZE: usize = 100_000;

    let table = Table::create("backends-many", &["id", "sk"]).await;
    for number in 0..COUNT {
        let value = s(format!("{number}:{}", "x".repeat(SIZE)));
        let sort = s(format!("p/{number:02}"));
        table
            .put([("id", s("limits")), ("sk", sort), ("value", value)])
            .await;
    }
    table
        .put([("id", s("other")), ("sk", s("a")), ("value", s("1"))])
        .await;

    let values = table.parameters().get_multiple("limits").await.unwrap();
    assert_eq!(values.len(), COUNT);
    for (number, (name, value)) in values.iter().enumerate() {
        assert_eq!(name, format!("p/{number:02}"));
        assert!(value.as_str().unwrap().starts_with(&format!("{number}:")));
    }
    assert!(
        table
            .parameters()
            .get_multiple("none")
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn attributes_may_have_names_that_expressions_reserve() {
    let table = Table::create("backends-names", &["name", "order"]).await;
    table
        .put([
            ("name", s("limits")),
            ("order", s("a")),
            ("key.value", s("1")),
        ])
        .await;
    let provider = table
        .provider()
        .key_attribute("name")
        .sort_attribute("order")
        .value_attribute("key.value");
    let values = Parameters::new(provider)
        .get_multiple("limits")
        .await
        .unwrap();
    assert_eq!(values.get("a").unwrap().as_str().unwrap(), "1");
}

#[tokio::test]
async fn a_table_of_another_key_or_none_at_all_is_no_missing_parameter() {
    let table = Table::create("backends-keys", &["id", "sk"]).await;
    let error = table.parameters().get("limit").await.unwrap_err();
    assert!(!error.is_not_found(), "{error:?}");
    let missing = DynamoDbProvider::new(table.client.clone(), "backends-none");
    let error = Parameters::new(missing).get("limit").await.unwrap_err();
    assert!(!error.is_not_found(), "{error:?}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "table `backends-none` does not exist");
}
