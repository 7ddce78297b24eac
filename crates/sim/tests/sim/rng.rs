//! The seeded generator of pseudo-random numbers.

use sim::Rng;

#[test]
fn the_numbers_of_a_seed_are_fixed() {
    let mut rng = Rng::new(1_234_567);
    // From the reference implementation at https://prng.di.unimi.it/splitmix64.c.
    assert_eq!([rng.next(), rng.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
}
