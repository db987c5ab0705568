//! The sizes that requests come in, so that their length doesn't tell the size of an address book.

/// The sizes of an evaluation request, in elements.
pub const PADDING_CLASSES: [usize; 4] = [16, 64, 256, 1_024];

/// The class that `pending` elements are sent in, and how many of them fit, if no more than `budget`
/// elements may be spent.
///
/// The smallest class that holds all of them; or the largest that the budget allows, filled up. `None` if
/// there is nothing to send or not even the smallest class can be paid.
pub(super) fn choose(pending: usize, budget: usize) -> Option<(usize, usize)> {
    if pending == 0 {
        return None;
    }
    let mut affordable = PADDING_CLASSES.into_iter().filter(|&class| class <= budget);
    let class = affordable
        .clone()
        .find(|&class| class >= pending)
        .or_else(|| affordable.next_back())?;
    Some((class, class.min(pending)))
}

/// The class of a part of the published set: 16, 64, 256, 1,024, 4,096 and so on.
pub(super) fn class(count: usize) -> u64 {
    let mut class = 16_u64;
    while class < count as u64 {
        class = class.saturating_mul(4);
    }
    class
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seventeen_and_sixty_four_contacts_look_the_same() {
        assert_eq!(choose(17, 1_024), Some((64, 17)));
        assert_eq!(choose(64, 1_024), Some((64, 64)));
    }

    #[test]
    fn a_part_has_a_class_whatever_the_size_of_the_address_book() {
        for (count, of) in [
            (0, 16),
            (16, 16),
            (17, 64),
            (1_025, 4_096),
            (usize::MAX, u64::MAX),
        ] {
            assert_eq!(class(count), of, "{count}");
        }
    }

    #[test]
    fn every_class_is_used_up_to_its_edge() {
        let classes: [(usize, usize); 8] = [
            (1, 16),
            (16, 16),
            (17, 64),
            (65, 256),
            (256, 256),
            (257, 1_024),
            (1_024, 1_024),
            (5_000, 1_024),
        ];
        for (pending, class) in classes {
            assert_eq!(
                choose(pending, usize::MAX),
                Some((class, class.min(pending)))
            );
        }
    }

    #[test]
    fn a_small_budget_buys_a_full_smaller_class_or_nothing() {
        assert_eq!(choose(500, 300), Some((256, 256)));
        assert_eq!(choose(500, 16), Some((16, 16)));
        assert_eq!(choose(5, 300), Some((16, 5)));
        assert_eq!(choose(5, 15), None);
        assert_eq!(choose(0, usize::MAX), None);
    }
}
