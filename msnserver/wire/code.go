package wire

import "strconv"

// Code is an error number (MSNP.md G).
type Code int

// The error numbers this server sends.
const (
	SyntaxError         Code = 200
	InvalidParameter    Code = 201
	InvalidUser         Code = 205
	AlreadyLoggedIn     Code = 207
	InvalidUserName     Code = 208
	InvalidFriendlyName Code = 209
	ListFull            Code = 210
	AlreadyThere        Code = 215
	NotOnList           Code = 216
	NotOnline           Code = 217
	AlreadyInMode       Code = 218
	OnOppositeList      Code = 219
	TooManyGroups       Code = 223
	InvalidGroup        Code = 224
	NotInGroup          Code = 225
	GroupExists         Code = 228
	GroupNameTooLong    Code = 229
	CannotRemoveGroup0  Code = 230
	SwitchboardFailed   Code = 280
	InternalError       Code = 500
	Disabled            Code = 502
	ChallengeFailed     Code = 540
	ServerBusy          Code = 600
	ServerUnavailable   Code = 601
	CallingTooRapidly   Code = 713
	NotExpected         Code = 715
	NotExpectedCVR      Code = 731
	ChangingTooRapidly  Code = 800
	TooBusy             Code = 910
	AuthFailed          Code = 911
	NotWhileHidden      Code = 913
)

// Reply is the error line for the command with that transaction id.
func (c Code) Reply(trid string) Command { return Line(strconv.Itoa(int(c)), trid) }
