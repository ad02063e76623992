/// Changes to a repaired plan that move no shards: peers that hold the same layers change places between pipelines, pipelines
/// that are cut alike exchange their tails, micro-batches go from one pipeline to another and windows open.
struct Settlement {
    let tables: CostTables
    let budget: CostBudget

    /// Improves the layout under the closed form until no change helps or `limit` have been looked at.
    func run(_ start: Layout, limit: Int) -> Layout {
        var closedForm = ClosedForm(tables: tables)
        closedForm.memo = ClosedForm.Memo()
        let refinement = Refinement(tables: tables, spares: [], swapsPeers: false, budget: budget)
        var best = start
        var seconds = closedForm.seconds(start)
        var looked = 0
        var improved = true
        while improved, looked < limit {
            improved = false
            // Each kind of change is tried from where the one before has led.
            for moves in [swaps, refinement.depthMoves, refinement.shareMoves] {
                for candidate in moves(best) {
                    guard looked < limit else { break }
                    looked += 1
                    let value = closedForm.seconds(candidate)
                    guard value < seconds * (1 - 1e-9) else { continue }
                    best = candidate
                    seconds = value
                    improved = true
                    break
                }
            }
        }
        return best
    }

    private func swaps(_ layout: Layout) -> [Layout] {
        var result: [Layout] = []
        for left in layout.pipelines.indices {
            for right in layout.pipelines.indices where right > left {
                for stage in layout.pipelines[left].indices {
                    let layers = layout.pipelines[left][stage].layers
                    guard let other = layout.pipelines[right].firstIndex(where: { $0.layers == layers }) else {
                        continue
                    }
                    var swapped = layout
                    swapped.pipelines[left][stage].peer = layout.pipelines[right][other].peer
                    swapped.pipelines[right][other].peer = layout.pipelines[left][stage].peer
                    result.append(swapped)
                    guard stage > 0, other > 0 else { continue }
                    var joined = layout
                    joined.pipelines[left].replaceSubrange(stage..., with: layout.pipelines[right][other...])
                    joined.pipelines[right].replaceSubrange(other..., with: layout.pipelines[left][stage...])
                    for rank in [left, right] { narrow(&joined.pipelines[rank]) }
                    result.append(joined)
                }
            }
        }
        return result
    }

    /// No stage may hold more micro-batches than the one before sends it.
    private func narrow(_ pipeline: inout [Layout.Stage]) {
        for stage in pipeline.indices.dropFirst() {
            pipeline[stage].depth = min(pipeline[stage].depth, pipeline[stage - 1].depth)
        }
    }
}
