package dialect

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"strings"
)

// ChallengeDigits is how long a challenge must be: with fewer or more, clients
// disagree about how it is filled up (MSNP.md B.13).
const ChallengeDigits = 20

// products are the keys of the programs whose keys are known, by product id
// (MSNP.md B.13).
var products = map[string]string{
	"msmsgs@msnmsgr.com": "Q1P7W2E4J9R8U3S5",
	"PROD0038W!61ZTF9":   "VT6PX?UQTM4WM%YR",
	"PROD0058#7IL2{QD":   "QHDCY@7R1TB6W?5B",
	"PROD0061VRRZH@4F":   "JXQ6J@TUOGYV@N0M",
	"PROD00504RLUG%WL":   "I2EBK%PYNLZL5_J4",
	"PROD0076ENE8*@AW":   "CEQJ8}OE0!WTSWII",
	"PROD0090YUAUV{2B":   "YMM8C_H7KCQ2S_KL",
	"PROD0101{0RM?UBW":   "CFHUR$52U_{VIX5T",
	"PROD01065C%ZFN6F":   "O4BG@C7BWLYQX?5G",
	"PROD0112J1LW7%NB":   "RH96F{PHI8PPX_TJ",
	"PROD0113H11T8$X_":   "RG@XY*28Q5QHS%Q5",
	"PROD0114ES4Z%Q5W":   "PK}_A_0N_K%O?A9S",
	"PROD0118R6%2WYOS":   "YIXPX@5I2P0UT*LK",
	"PROD0119GSJUC$18":   "ILTXC!4IXB5FB*PX",
	"PROD0120PW!CCV9@":   "C1BX{V4W}Q3*10SM",
}

// Answers tells whether answer is right for a challenge and the product that the
// client says it is. That of a product whose key is not known can't be told from a
// right one.
func (d *Dialect) Answers(challenge, product string, answer []byte) bool {
	key, known := products[product]
	return !known || strings.EqualFold(string(answer), d.Prove(challenge, product, key))
}

// prove6 is the answer of MSNP6 to 10.
func prove6(challenge, _, key string) string {
	sum := md5.Sum([]byte(challenge + key))
	return hex.EncodeToString(sum[:])
}

// prove11 is the answer from MSNP11 on: the same hash, with a second one over the
// challenge and the product that it also keys.
func prove11(challenge, product, key string) string {
	const m = 1<<31 - 1
	sum := md5.Sum([]byte(challenge + key))
	var k [4]uint64
	for i := range k {
		k[i] = uint64(binary.LittleEndian.Uint32(sum[4*i:])) & m
	}
	s := challenge + product
	for len(s)%8 != 0 {
		s += "0"
	}
	var high, low uint64
	for ; s != ""; s = s[8:] {
		t := 0x0e79a9c1 * uint64(binary.LittleEndian.Uint32([]byte(s))) % m
		t = (k[0]*(t+high) + k[1]) % m
		high = (k[2]*((uint64(binary.LittleEndian.Uint32([]byte(s[4:])))+t)%m) + k[3]) % m
		low += high + t
	}
	high, low = (high+k[1])%m, (low+k[3])%m
	for i, v := range [4]uint64{high, low, high, low} {
		binary.LittleEndian.PutUint32(sum[4*i:], binary.LittleEndian.Uint32(sum[4*i:])^uint32(v))
	}
	return hex.EncodeToString(sum[:])
}
