//! Single blocks through their lives, blocks that are told of together, and lives of any kind.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|_| panic!("{text}"))
}

fn days(days: i64) -> Timestamp {
    at("2026-03-10T12:00:00Z").plus_seconds(days * DAY)
}

/// A block with a credit that was granted at an instant.
fn granted(id: u128, since: Timestamp, end: Timestamp) -> Expiring {
    Expiring {
        block: BlockId(Uuid::from_u128(id)),
        remaining: Credits::from_raw(1_000_000),
        expires_at: end,
        notice_at: next_notice(since, end).unwrap_or(Timestamp::MAX),
    }
}

/// What is told at each of some instants: stage and blocks.
fn live(blocks: &mut [Expiring], looks: impl IntoIterator<Item = Timestamp>) -> Vec<(i64, Vec<u128>)> {
    let mut told = Vec::new();
    for now in looks {
        let near = now.plus_seconds(TOGETHER_SECONDS);
        let seen: Vec<Expiring> = blocks.iter().filter(|it| it.notice_at <= near).copied().collect();
        let look = look(&seen, now);
        for (block, next) in look.next {
            for it in blocks.iter_mut().filter(|it| it.block == block) {
                it.notice_at = next.unwrap_or(Timestamp::MAX);
            }
        }
        told.extend(look.notices.into_iter().map(|notice| {
            let ids = notice.blocks.iter().map(|it| it.block.0.as_u128());
            (notice.days, ids.collect())
        }));
    }
    told
}

fn hourly(hours: i64) -> impl Iterator<Item = Timestamp> {
    (0..=hours).map(|hour| days(0).plus_seconds(hour * 3_600))
}

#[test]
fn stages_that_are_none_of_a_block() {
    // How many days it lives, and the stages that it comes to.
    for (life, stages) in [
        (365, &[30, 7, 1][..]),
        (31, &[30, 7, 1]),
        (30, &[7, 1]),
        (8, &[7, 1]),
        (7, &[1]),
        (5, &[1]),
        (1, &[]),
    ] {
        let mut block = [granted(1, days(0), days(life))];
        let told = live(&mut block, hourly((life + 2) * 24));
        let told: Vec<i64> = told.into_iter().map(|(days, _)| days).collect();
        assert_eq!(told, stages, "{life} days");
    }
}

#[test]
fn what_is_late_is_told_once_and_truly() {
    let mut block = [granted(1, days(0), days(60))];
    // Nobody looked between the 20th and the 55th day.
    let looks = [20, 55, 56, 59].map(days);
    assert_eq!(live(&mut block, looks), [(7, vec![1]), (1, vec![1])]);
    let late = Notice {
        days: 7,
        at: days(53),
        blocks: vec![granted(1, days(0), days(60))],
    };
    for (now, left) in [
        (days(53), 7),
        (days(53).plus_seconds(1), 7),
        (days(54), 6),
        (days(60).plus_seconds(-1), 1),
    ] {
        assert_eq!(late.days_left(now), left);
    }
    // Nobody looked before it had ended.
    let mut block = [granted(1, days(0), days(60))];
    assert_eq!(live(&mut block, [61].map(days)), []);
}

#[test]
fn blocks_of_one_day_are_told_of_together() {
    let begin = days(0);
    let end = |hours: i64| days(40).plus_seconds(hours * 3_600);
    let mut blocks = [
        granted(1, begin, end(0)),
        granted(2, begin, end(24)),
        granted(3, begin, end(25)),
        granted(4, begin, end(26)),
    ];
    let wanted = [30, 7, 1]
        .map(|days| [(days, vec![1, 2]), (days, vec![3, 4])])
        .concat();
    assert_eq!(live(&mut blocks, hourly(45 * 24)), wanted);
}

#[test]
fn what_is_used_up_is_not_told_and_is_looked_at_again() {
    let mut block = granted(1, days(0), days(40));
    block.remaining = Credits::ZERO;
    let seen = look(&[block], days(10));
    assert_eq!(seen.notices, []);
    // Credits may return to it.
    assert_eq!(seen.next, [(block.block, Some(days(33)))]);
}

#[test]
fn a_later_end_has_its_stages_again() {
    let moved = next_notice(days(35), days(100));
    assert_eq!(moved, Some(days(70)));
    assert_eq!(next_notice(days(35), days(36)), None);
}

proptest! {
    /// Whoever looks whenever: no block is told of twice at one stage, none after its end, and none at a stage that began before it.
    #[test]
    fn each_stage_once(
        lives in prop::collection::vec((0_i64..50_000_000, 1_i64..80 * DAY), 1..12),
        pauses in prop::collection::vec(1_i64..20 * DAY, 1..60),
    ) {
        let begin = days(0);
        let mut blocks: Vec<Expiring> = lives.iter().zip(0..).map(|((grant, life), id)| {
            let since = begin.plus_seconds(grant % DAY);
            granted(id, since, since.plus_seconds(*life))
        }).collect();
        let first: Vec<Expiring> = blocks.clone();
        let looks = pauses.iter().scan(begin, |now, pause| {
            *now = now.plus_seconds(*pause);
            Some(*now)
        });
        let told = live(&mut blocks, looks);
        for block in &first {
            let id = block.block.0.as_u128();
            let stages: Vec<i64> = told.iter().filter(|(_, ids)| ids.contains(&id)).map(|(days, _)| *days).collect();
            prop_assert!(stages.is_sorted_by(|one, next| one > next), "{stages:?}");
            let possible = stages_of(block);
            prop_assert!(stages.iter().all(|days| possible.contains(days)), "{stages:?} {possible:?}");
        }
    }

    /// Who looks every hour misses none.
    #[test]
    fn none_is_missed(lives in prop::collection::vec(1_i64..45 * DAY, 1..8)) {
        let mut blocks: Vec<Expiring> = lives.iter().zip(0..).map(|(life, id)| {
            granted(id, days(0), days(0).plus_seconds(*life))
        }).collect();
        let first = blocks.clone();
        let told = live(&mut blocks, hourly(46 * 24));
        for block in &first {
            let id = block.block.0.as_u128();
            let count = told.iter().filter(|(_, ids)| ids.contains(&id)).count();
            prop_assert_eq!(count, stages_of(block).len());
        }
    }
}

/// The stages ahead of a block when it was granted.
fn stages_of(block: &Expiring) -> Vec<i64> {
    let ahead = stages(block.expires_at).filter(|(_, at)| *at >= block.notice_at);
    ahead.map(|(days, _)| days).collect()
}
