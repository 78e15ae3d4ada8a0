// SPDX-License-Identifier: Apache-2.0
// What javax.smartcardio finds and does.

import java.util.HexFormat;
import javax.smartcardio.Card;
import javax.smartcardio.CardChannel;
import javax.smartcardio.CardException;
import javax.smartcardio.CardTerminal;
import javax.smartcardio.CardTerminals;
import javax.smartcardio.CommandAPDU;
import javax.smartcardio.ResponseAPDU;
import javax.smartcardio.TerminalFactory;

public class Cards {
    static final HexFormat HEX = HexFormat.of();

    public static void main(String[] arguments) throws CardException {
        CardTerminals terminals = TerminalFactory.getDefault().terminals();
        for (CardTerminal terminal : terminals.list()) {
            System.out.println(terminal.getName() + " " + terminal.isCardPresent());
            use(terminal, "T=0");
            use(terminal, "T=1");
            use(terminal, "*");
        }
        for (CardTerminal terminal : terminals.list(CardTerminals.State.CARD_PRESENT)) {
            System.out.println("present: " + terminal.getName());
        }
        System.out.println(terminals.waitForChange(50));
        System.out.println(terminals.list().get(0).waitForCardAbsent(50));
    }

    static void use(CardTerminal terminal, String protocol) {
        try {
            Card card = terminal.connect(protocol);
            System.out.println(card.getProtocol() + " " + HEX.formatHex(card.getATR().getBytes()));
            card.beginExclusive();
            CardChannel channel = card.getBasicChannel();
            send(channel, "00a40004023f00");
            send(channel, "00a40004023f0000");
            send(channel, "00a4000c022fe2");
            send(channel, "00b000000a");
            send(channel, "00a4040006d2760001240100");
            send(channel, "00ca006e00");
            card.endExclusive();
            card.disconnect(true);
        } catch (CardException exception) {
            System.out.println(exception.getClass().getSimpleName());
        }
    }

    static void send(CardChannel channel, String command) throws CardException {
        ResponseAPDU response = channel.transmit(new CommandAPDU(HEX.parseHex(command)));
        System.out.println(command + " " + HEX.formatHex(response.getBytes()));
    }
}
