import Primitives
import TestSupport
import Testing
import Wire

/// The ticket's text: comes back, and no damage goes unnoticed.
@Suite struct TicketTests {
    private func refusal(_ text: String) -> TicketError? {
        do throws(TicketError) {
            _ = try Ticket(text)
            return nil
        } catch { return error }
    }

    @Test func isAsDocumented() throws {
        let ticket = try Fixture.ticket()
        #expect(ticket.encodedBytes.hex == NetworkExamples.bytes("wire/ticket")?.hex)
        #expect(ticket.text.hasPrefix("weft1aedxozlbozsxe42aifbegrcfizduqskkjnge2tspkbive"))
    }

    @Test func closedTicketIsAsDocumentedAndComesBack() throws {
        let open = try Fixture.ticket()
        let founder = try Fixture.contact().peer
        let ticket = try Ticket(
            swarmName: "weavers", secret: open.secret.duplicate(), founder: founder, contacts: [])
        #expect(ticket.encodedBytes.hex == NetworkExamples.bytes("wire/closed-ticket")?.hex)
        #expect(try Ticket(ticket.text).founder == founder)
        #expect(try ticket.replacingContacts([Fixture.contact()]).founder == founder)
        #expect(open.founder == nil)
    }

    @Test func comesBack() throws {
        let ticket = try Fixture.ticket()
        let text = ticket.text
        for variant in [text, "  \(text)\n", text.uppercased(), wrapped(text)] {
            let read = try Ticket(variant)
            let sameSecret = read.secret.equals(ticket.secret)
            #expect(sameSecret)
            #expect(read.swarmName == "weavers")
            #expect(read.contacts == [try Fixture.contact()])
        }
    }

    private func wrapped(_ text: String) -> String {
        text.enumerated().map { $0 % 60 == 59 ? "\($1)\r\n> ".filter { $0 != ">" } : String($1) }.joined()
    }

    /// One character replaced by another of the alphabet, one lost, one doubled, two swapped: always one clear error.
    @Test func damageIsNoticed() throws {
        let text = try Fixture.ticket().text
        let characters = Array(text)
        let alphabet = Array("abcdefghijklmnopqrstuvwxyz234567")
        var generator = SeededGenerator(seed: 11)
        for position in Ticket.prefix.count..<characters.count {
            var replaced = characters
            while replaced[position] == characters[position] {
                replaced[position] = alphabet[generator.index(below: alphabet.count)]
            }
            #expect(refusal(String(replaced)) == .damaged, "character \(position) was replaced")
            var foreign = characters
            foreign[position] = "0"
            #expect(refusal(String(foreign)) == .damaged, "character \(position) became 0")
            var lost = characters
            lost.remove(at: position)
            #expect(refusal(String(lost)) == .damaged, "character \(position) was lost")
            var doubled = characters
            doubled.insert(characters[position], at: position)
            #expect(refusal(String(doubled)) == .damaged, "character \(position) was doubled")
            if position + 1 < characters.count, characters[position] != characters[position + 1] {
                var swapped = characters
                swapped.swapAt(position, position + 1)
                #expect(refusal(String(swapped)) == .damaged, "characters \(position) and the next were swapped")
            }
        }
    }

    @Test func otherTextIsNamedForWhatItIs() throws {
        let text = try Fixture.ticket().text
        #expect(refusal("") == .notATicket)
        #expect(refusal("weft") == .notATicket)
        #expect(refusal("hello") == .notATicket)
        #expect(refusal(String(repeating: "weft1", count: 5000)) == .notATicket)
        #expect(refusal("weft1") == .damaged)
        #expect(refusal("weft2" + text.dropFirst(5)) == .unknownVersion("2"))
    }

    @Test func nothingUnusableIsMade() throws {
        func refusal(_ name: String, secret: Int = 32, contacts: Int = 0) throws -> TicketError? {
            let list = Array(repeating: try Fixture.contact(), count: contacts)
            do throws(TicketError) {
                _ = try Ticket(
                    swarmName: name, secret: SecretBytes(copying: [UInt8](repeating: 1, count: secret)), contacts: list)
                return nil
            } catch { return error }
        }
        #expect(try refusal("a") == nil)
        #expect(try refusal(String(repeating: "é", count: 32)) == nil)
        #expect(try refusal("") == .unusableName)
        #expect(try refusal(String(repeating: "é", count: 33)) == .unusableName)
        #expect(try refusal("red\u{1B}[31m") == .unusableName)
        #expect(try refusal("a", secret: 31) == .wrongSecretLength(31))
        #expect(try refusal("a", contacts: 8) == nil)
        #expect(try refusal("a", contacts: 9) == .tooManyContacts(9))
    }

    @Test func errorsAreOneLine() {
        let all: [TicketError] = [
            .notATicket, .unknownVersion("2"), .damaged, .malformed(.truncated), .unusableName, .wrongSecretLength(3),
            .tooManyContacts(9),
        ]
        for error in all {
            #expect(!error.description.contains("\n"))
            #expect(error.description.count > 30)
        }
    }

    @Test func anotherContactListKeepsTheSwarm() throws {
        let ticket = try Fixture.ticket()
        let many = Array(repeating: try Fixture.contact(), count: 12)
        let changed = try ticket.replacingContacts(many)
        #expect(changed.contacts.count == Limits.bootstrapPeersPerTicket)
        let same = changed.secret.equals(ticket.secret)
        #expect(same && changed.swarmName == "weavers")
    }
}
