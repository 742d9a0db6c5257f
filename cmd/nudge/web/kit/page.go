package kit

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"strings"
)

// escape makes a text harmless in a page.
func escape(s string) string { return html.EscapeString(s) }

// page writes a page that Internet Explorer 3 shows: HTML 3.2 in ASCII.
func page(w http.ResponseWriter, status int, title, body string) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	io.WriteString(w, `<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">`+"\n<html><head><title>"+escape(title)+"</title></head>\n"+
		`<body bgcolor="#ffffff" text="#000000">`+"\n<h1>"+escape(title)+"</h1>\n"+body+"<hr>\n<p><a href=\""+Path+"\">All kits</a>\n</body></html>\n")
}

// allKits is the page of all kits.
func allKits() string {
	var b strings.Builder
	b.WriteString("<p>Choose the client of this PC. Print the card, or keep the files: as .zip, or as the image of a floppy disk for a PC without a network.\n<dl>\n")
	for _, k := range List() {
		fmt.Fprintf(&b, "<dt><a href=\"%[1]s%[2]s.htm\"><b>%[3]s</b></a>\n<dd>%[4]s.<br>\n<a href=\"%[1]s%[2]s.zip\">%[2]s.zip</a> &nbsp; <a href=\"%[1]s%[2]s.img\">%[2]s.img</a>\n<p>\n",
			Path, k.Name, escape(k.Title), escape(k.ForClients))
	}
	b.WriteString("</dl>\n<p>A client that has its server written into the program can be <a href=\"" + Path + "patch\">patched</a>.\n")
	return b.String()
}

// card is the page of one kit, to be printed.
func card(k Kit) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<p>For %s.\n<p><i>%s</i>\n<ol>\n", escape(k.ForClients), escape(k.Proof))
	for _, s := range k.Steps {
		fmt.Fprintf(&b, "<li>%s\n<p>\n", escape(s))
	}
	b.WriteString("</ol>\n<p>Files:\n")
	for _, f := range k.Files {
		fmt.Fprintf(&b, "<a href=\"%s%s/%s\">%[3]s</a> &nbsp;\n", Path, k.Name, f)
	}
	fmt.Fprintf(&b, "<p>All of them: <a href=\"%[1]s%[2]s.zip\">%[2]s.zip</a>, floppy: <a href=\"%[1]s%[2]s.img\">%[2]s.img</a>.\n"+
		"<p>Lines for the hosts file: <a href=\"%[1]s%[2]s/HOSTS.TXT\">HOSTS.TXT</a>\n", Path, k.Name)
	return b.String()
}

// changed lists what Patch would do.
func changed(all []Change) string {
	var b strings.Builder
	b.WriteString("<pre>\n")
	for _, c := range all {
		b.WriteString(escape(c.String()) + "\n")
	}
	b.WriteString("</pre>\n" + patchForm)
	return b.String()
}

// patchForm asks for a program. What to do stands before it, for the box reads the
// form as it comes.
const patchForm = `<p>Keep the old file before you replace it. A program that runs can't be replaced: close Messenger first.
Versions from 7.5 on are signed by Microsoft; a patched file no longer is. ` + notProved + `
<form action="` + Path + `patch" method="post" enctype="multipart/form-data">
<p><input type="radio" name="what" value="patch" checked> Patch: it calls the box where it called its old servers<br>
<input type="radio" name="what" value="undo"> Undo: it becomes what it was before<br>
<input type="radio" name="what" value="look"> Only look what would change
<p>msnmsgr.exe, msmsgs.exe or msidcrl.dll: <input type="file" name="file">
<p><input type="submit" value="Send">
</form>
`
