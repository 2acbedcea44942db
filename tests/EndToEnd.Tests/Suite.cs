// Everything here runs real processes on real sockets. A test that needs the real llama-server adds [Trait("Suite", "Real")] to
// itself, one that takes minutes [Trait("Suite", "Long")]; see test.sh for what runs when.
[assembly: Trait("Suite", "Integration")]
