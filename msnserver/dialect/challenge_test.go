package dialect

import "testing"

// TestProve has the vectors of MSNP.md J.2.
func TestProve(t *testing.T) {
	for _, c := range []struct{ version, challenge, product, want string }{
		{"MSNP6", "15570131571988941333", "msmsgs@msnmsgr.com", "8f2f5a91b72102cd28355e9fc9000d6e"},
		{"MSNP10", "15570131571988941333", "PROD0038W!61ZTF9", "ca90e6a7c94a14aae7b3ae0f6018433e"},
		{"MSNP11", "15570131571988941333", "PROD0090YUAUV{2B", "d8d8cb2c2043a603d8286a3343143ee1"},
		{"MSNP12", "15570131571988941333", "PROD0119GSJUC$18", "521fdf1c2586c53b01b2b2653dc9085f"},
		{"MSNP12", "22210219642164014968", "PROD0120PW!CCV9@", "6e92a312bf6b70ee58e75a1e3315695c"},
		{"MSNP12", "22210219642164014968", "PROD0101{0RM?UBW", "64812169fe9717715f03c678fa4ab938"},
	} {
		d := Named(c.version)
		if got := d.Prove(c.challenge, c.product, products[c.product]); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.version, c.product, got, c.want)
		}
		if !d.Answers(c.challenge, c.product, []byte(c.want)) || d.Answers(c.challenge, c.product, []byte("x"+c.want[1:])) || d.Answers(c.challenge, c.product, nil) {
			t.Errorf("%s %s: answers are told apart wrongly", c.version, c.product)
		}
	}
	if !Named("MSNP9").Answers("1", "PROD9999", []byte("?")) {
		t.Error("a product that is not known is refused")
	}
	if Named("MSNP5").Prove != nil {
		t.Error("MSNP5 has challenges")
	}
}
