import Testing
import Topology

@testable import Simulation

/// Predictions of unmeasured links held against networks that are known in full; `weft bench --graph` does it at length.
struct CompletionTrialTests {
    @Test(arguments: CompletionTrial.Choice.allCases)
    func roundTripsOfUnmeasuredPairsAreCloseAndSayHowClose(choice: CompletionTrial.Choice) {
        let network = WideAreaNetwork.make(.clouds, peers: 40, seed: 7)
        let errors = CompletionTrial(network, choice: choice, partners: 12, seed: 1).roundTrips()
        #expect(errors.count > 200, "\(errors.count) pairs were left to predict")
        #expect(errors.median < 0.12, "half of the predictions are off by \(errors.median)")
        #expect(errors.ninetieth < 0.45, "a tenth is off by \(errors.ninetieth)")
        #expect((0.75...1).contains(errors.covered), "\(errors.covered) of the truths lie inside the intervals")
    }

    @Test func theSameSeedGivesTheSameNetworkAndTrial() {
        let network = WideAreaNetwork.make(.homes, peers: 20, seed: 3)
        #expect(network.roundTrips == WideAreaNetwork.make(.homes, peers: 20, seed: 3).roundTrips)
        #expect(network.roundTrips != WideAreaNetwork.make(.homes, peers: 20, seed: 4).roundTrips)
        let trial = CompletionTrial(network, choice: .random, partners: 4, seed: 2)
        #expect(trial.roundTrips() == CompletionTrial(network, choice: .random, partners: 4, seed: 2).roundTrips())
    }

    @Test func everyPeerHasAtLeastItsOwnPartners() {
        let network = WideAreaNetwork.make(.sites, peers: 30, seed: 5)
        for choice in CompletionTrial.Choice.allCases {
            let trial = CompletionTrial(network, choice: choice, partners: 8, seed: 1)
            for peer in 0..<30 {
                let links = trial.pairs.count { $0.0 == peer || $0.1 == peer }
                #expect(links >= 8, "\(choice): peer \(peer) has \(links) measured links")
            }
        }
    }
}
