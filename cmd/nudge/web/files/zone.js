// Chooses the browser's own time zone in the wizard, where it is offered.
(function () {
  var list = document.getElementById("zone"), i;
  if (!list || list.value || typeof Intl === "undefined") return;
  var mine = Intl.DateTimeFormat().resolvedOptions().timeZone;
  for (i = 0; i < list.options.length; i++) {
    if (list.options[i].text === mine) list.selectedIndex = i;
  }
})();
