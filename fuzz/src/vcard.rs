//! Address books: whatever the bytes are, what is taken makes sense.

use blindbook::client::contacts::ContactSet;

/// Every index points somewhere, and the same bytes give the same set.
pub fn run(data: &[u8]) {
    let region = "GB".parse().ok();
    for import in [ContactSet::from_vcard, ContactSet::from_csv] {
        let Ok(set) = import(data, region) else {
            continue;
        };
        for contact in set.contacts() {
            assert!(
                contact
                    .identifiers()
                    .iter()
                    .all(|&index| index < set.identifiers().len())
            );
        }
        for (index, identifier) in set.identifiers().iter().enumerate() {
            assert!(identifier.as_input().len() <= 255);
            assert!(!set.owners(index).is_empty());
        }
        let again = import(data, region).expect("it was taken before");
        assert_eq!(again.rejected(), set.rejected());
        assert_eq!(again.identifiers().len(), set.identifiers().len());
    }
}
