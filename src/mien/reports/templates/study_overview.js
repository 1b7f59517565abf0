// Deleting a participant: the first press asks, the second one deletes.
for (const button of document.querySelectorAll("button[data-code]")) {
  button.addEventListener("click", async () => {
    if (button.dataset.sure !== "yes") {
      button.dataset.sure = "yes";
      button.textContent = "Delete for good?";
      return;
    }
    button.disabled = true;
    const said = document.getElementById("said");
    said.hidden = false;
    try {
      const response = await fetch("delete", {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-Mien": "study" },
        body: JSON.stringify({ code: button.dataset.code }),
      });
      const answer = await response.json();
      if (!response.ok) throw new Error(answer.error);
      button.closest("tr").remove();
      said.textContent = `${button.dataset.code} is deleted.`;
    } catch (error) {
      said.textContent = `Not deleted: ${error.message}`;
      button.disabled = false;
    }
  });
}
